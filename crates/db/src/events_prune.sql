-- events::prune
-- $1 how long events are kept, in milliseconds, $2 how many go at most.
DELETE FROM instance_events
WHERE id IN (
    SELECT old.id
    FROM instance_events AS old
    WHERE old.at < now() - $1 * interval '1 millisecond'
        -- The last event of a service says what became of it.
        AND EXISTS (
            SELECT
            FROM instance_events AS newer
            WHERE newer.service_id = old.service_id AND newer.id > old.id
        )
    ORDER BY old.id
    LIMIT $2
)
