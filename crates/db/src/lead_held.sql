-- leadership::Candidate::ping
-- Whether this session holds the advisory lock $1. PostgreSQL shows a 64-bit key in two halves.
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory'
        AND pid = pg_backend_pid()
        AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = $1
) AS locked
