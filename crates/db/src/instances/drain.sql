-- instances::drain
-- $1 how many at most, $2 the actor.
WITH oldest AS MATERIALIZED (
    SELECT id
    FROM instances
    WHERE status IN ('idle', 'starting')
        -- One whose agent was not yet asked may turn out to be somebody's.
        AND NOT unasked
        AND EXISTS (SELECT FROM unbroken_record)
    ORDER BY created_at, id
    LIMIT $1
    -- One that is being claimed at this moment is claimed; what else holds one lets go in a moment.
    FOR UPDATE SKIP LOCKED
)
UPDATE instances
SET status = 'dead', status_actor = $2, status_reason = 'drain'
FROM oldest
WHERE instances.id = oldest.id
RETURNING instances.id
