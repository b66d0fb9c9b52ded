# Ends a PostgreSQL server whose manager was killed, and removes its directory. The manager holds the
# other end of our standard input, which the kernel closes whenever the manager ends.
# $1: the server's process  $2: its data directory  $3: the directory to remove
runs() {
    [ "$(head -n 1 "$2/postmaster.pid" 2>/dev/null)" = "$1" ] &&
        [ "$(readlink "/proc/$1/cwd")" = "$2" ]
}
read -r _
runs "$1" "$2" && kill -INT "$1"
while runs "$1" "$2"; do sleep 0.1; done
rm -rf -- "$3"
