-- claims::lease_idle
-- $1 the token, $2 the length of the lease in milliseconds, $3 ids that are not wanted.

-- What this token holds already, when its first answer was lost. It is found by the token alone: the
-- index of the statuses is full of leases that are long over.
WITH held AS MATERIALIZED (
    SELECT id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims, status
    FROM instances
    WHERE claim_token = $1
),
-- The oldest idle one that nobody else is taking at this moment. The status is a literal, because
-- a plan made for any status could not use the index of the idle ones.
free AS MATERIALIZED (
    SELECT id
    FROM instances
    WHERE status = 'idle' AND id <> ALL ($3) AND NOT EXISTS (SELECT FROM held)
    ORDER BY created_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
-- The trigger sets the epoch and writes the event, so this one statement is the whole lease.
leased AS (
    UPDATE instances
    SET status = 'claiming',
        status_actor = 'claim',
        status_reason = 'leased',
        claim_token = $1,
        claim_expires_at = now() + $2 * interval '1 millisecond'
    FROM free
    WHERE instances.id = free.id
    RETURNING instances.id, service_id, name, url, gateway_token, claim_expires_at, epoch,
        failed_claims
)
SELECT id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims
FROM leased
UNION ALL
SELECT id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims
FROM held
WHERE status = 'claiming'
