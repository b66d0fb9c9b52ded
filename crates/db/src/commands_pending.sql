-- commands::pending
-- $1 how long a command lives, in milliseconds, $2 how many at most.
SELECT id, kind, arguments, requested_by, requested_at
FROM commands
WHERE done_at IS NULL AND requested_at > now() - $1 * interval '1 millisecond'
ORDER BY id
LIMIT $2
