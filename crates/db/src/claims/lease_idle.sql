-- claims::lease_idle
-- $1 the token, $2 the length of the lease in milliseconds, $3 ids that are not wanted. Where the
-- caller gave a key: $4 it, $5 the body's fingerprint, $6 for how long to keep it in milliseconds,
-- $7 the token of the lease that the same claim took before, if any. Otherwise these are null.
-- $8 and $9 the newest state of the records that this server has seen.

-- What this token holds already, when its first answer was lost. It is found by the token alone: the
-- index of the statuses is full of leases that are long over.
WITH held AS MATERIALIZED (
    SELECT id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims, status
    FROM instances
    WHERE claim_token = $1
),
-- Nothing is taken where the records may be older than the world, or than what this server has seen.
trusted AS MATERIALIZED (
    SELECT FROM unbroken_record WHERE (generation, tick) >= ($8, $9)
),
-- The first idle one of the queue that nobody else is taking at this moment: the oldest, and those that
-- claims put back behind them. The status is a literal, because
-- a plan made for any status could not use the index of the idle ones.
free AS MATERIALIZED (
    SELECT id
    FROM instances
    WHERE status = 'idle' AND id <> ALL ($3) AND NOT EXISTS (SELECT FROM held)
        AND EXISTS (SELECT FROM trusted)
    ORDER BY coalesce(put_back_at, created_at), id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
-- The key's row comes before the lease: whoever finds the key taken takes no lease. An empty stock
-- leaves no row.
noted AS (
    INSERT INTO claim_requests (key, fingerprint, claim_token, instance_id, expires_at)
    SELECT $4, $5, $1, id, now() + $6 * interval '1 millisecond'
    FROM free
    WHERE $4 IS NOT NULL
    -- A claim may go on to another instance, and ask twice for one lease; a key that ran out is
    -- anybody's.
    ON CONFLICT (key) DO UPDATE
    SET fingerprint = excluded.fingerprint,
        claim_token = excluded.claim_token,
        instance_id = excluded.instance_id,
        outcome = NULL,
        joined = NULL,
        invited = NULL,
        requested_at = excluded.requested_at,
        expires_at = excluded.expires_at
    WHERE claim_requests.claim_token IN ($1, $7) OR claim_requests.expires_at < now()
    RETURNING instance_id
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
    WHERE instances.id = free.id AND ($4 IS NULL OR EXISTS (SELECT FROM noted))
    RETURNING instances.id, service_id, name, url, gateway_token, claim_expires_at, epoch,
        failed_claims
)
SELECT NULL AS refusal, id, service_id, name, url, gateway_token, claim_expires_at, epoch,
    failed_claims
FROM leased
UNION ALL
SELECT NULL, id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims
FROM held
WHERE status = 'claiming'
UNION ALL
SELECT 'key taken', id, '', '', NULL, NULL, now(), 0, 0::smallint
FROM free
WHERE $4 IS NOT NULL AND NOT EXISTS (SELECT FROM noted)
UNION ALL
SELECT 'unverified', '', '', '', NULL, NULL, now(), 0, 0::smallint
WHERE NOT EXISTS (SELECT FROM trusted) AND NOT EXISTS (SELECT FROM held)
