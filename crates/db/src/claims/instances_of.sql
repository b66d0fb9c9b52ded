-- claims::instances_of
-- $1 tokens. Which instances they are on, and with what status; with none where another one's statement
-- holds the instance at this moment, which nobody waits for.
WITH free AS MATERIALIZED (
    -- It locks, which is a write: where a standby is synchronous, what an earlier statement wrote is there
    -- as well before this one is answered. That one may have been cut off while it waited for that.
    SELECT id, status
    FROM instances
    WHERE claim_token = ANY ($1)
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT claim_token AS token, instances.id, free.status
FROM instances
LEFT JOIN free ON free.id = instances.id
WHERE claim_token = ANY ($1)
