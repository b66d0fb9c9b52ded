-- belongings::prune
-- $1 how long they are kept once released, in milliseconds, $2 how many go at most.
DELETE FROM belongings
WHERE (kind, outside_id) IN (
    SELECT old.kind, old.outside_id
    FROM belongings AS old
    WHERE old.released_at < now() - $1 * interval '1 millisecond'
    ORDER BY old.released_at
    LIMIT $2
)
