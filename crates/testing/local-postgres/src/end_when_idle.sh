# Ends a PostgreSQL server that nobody uses any more.
# $1: its process  $2: its data directory  $3: the file touched whenever somebody wants the server
# $4: after how many minutes  $5: seconds between two looks
runs() {
    [ "$(head -n 1 "$2/postmaster.pid" 2>/dev/null)" = "$1" ] &&
        [ "$(readlink "/proc/$1/cwd")" = "$2" ]
}
# A server process names its client: "postgres: user database 127.0.0.1(40000) idle".
has_clients() {
    for child in $(cat "/proc/$1/task/$1/children"); do
        tr '\0' ' ' <"/proc/$child/cmdline" | grep -q '127\.0\.0\.1(' && return 0
    done
    return 1
}
while runs "$1" "$2"; do
    sleep "$5"
    has_clients "$1" && touch "$3"
    [ -n "$(find "$3" -mmin "-$4")" ] && continue
    runs "$1" "$2" && kill -INT "$1"
    while runs "$1" "$2"; do sleep 1; done
done
