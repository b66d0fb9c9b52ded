-- claims::expire
-- $1 the length of a lease in milliseconds, for one without an expiry. $2 and $3 the newest state of the
-- records that this server has seen.
WITH expired AS MATERIALIZED (
    SELECT id
    FROM instances
    WHERE status = 'claiming'
        -- One that was restored may have been confirmed since: it has to be unverified first.
        AND EXISTS (SELECT FROM unbroken_record WHERE (generation, tick) >= ($2, $3))
        AND coalesce(claim_expires_at, status_changed_at + $1 * interval '1 millisecond') < now()
    ORDER BY id
    -- One that is being confirmed at this moment is not expired; other servers look, too.
    FOR UPDATE SKIP LOCKED
)
UPDATE instances
-- One whose ownership became unverified meanwhile waits for a person.
SET status = CASE WHEN unasked THEN 'crashed' ELSE 'dead' END,
    status_actor = 'lease expiry',
    status_reason = 'lease expired',
    claim_token = NULL,
    claim_expires_at = NULL
FROM expired
WHERE instances.id = expired.id
RETURNING instances.id
