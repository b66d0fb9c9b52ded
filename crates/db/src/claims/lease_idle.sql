-- claims::lease_idle
-- Leases for all who ask at once, the one who waited longest first. Each has one place in these arrays: $1
-- his token; where his caller gave a key $4 it, $5 the body's fingerprint, $6 for how long to keep it in
-- milliseconds and $7 the token of the lease that the same claim took before, if any, otherwise null. For
-- all of them: $2 the length of the lease in milliseconds, $3 ids that are not wanted, $8 and $9 the newest
-- state of the records that this server has seen.
WITH asks AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $4::text[], $5::bytea[], $6::bigint[]) WITH ORDINALITY
        AS ask (token, key, fingerprint, keep_ms, place)
),
-- What these tokens hold already, where a first answer was lost. It is found by the token alone: the
-- index of the statuses is full of leases that are long over.
held AS MATERIALIZED (
    SELECT claim_token, id, service_id, name, url, gateway_token, claim_expires_at, epoch,
        failed_claims, status
    FROM instances
    WHERE claim_token = ANY ($1)
),
-- Nothing is taken where the records may be older than the world, or than what this server has seen.
trusted AS MATERIALIZED (
    SELECT FROM unbroken_record WHERE (generation, tick) >= ($8, $9)
),
wanting AS MATERIALIZED (
    SELECT asks.*, row_number() OVER (ORDER BY place) AS turn
    FROM asks
    WHERE token NOT IN (SELECT claim_token FROM held)
),
-- The first idle ones of the queue that nobody else is taking at this moment: the oldest, and those that
-- claims put back behind them. The status is a literal, because
-- a plan made for any status could not use the index of the idle ones.
free AS MATERIALIZED (
    SELECT id, coalesce(put_back_at, created_at) AS since
    FROM instances
    WHERE status = 'idle' AND id <> ALL ($3) AND EXISTS (SELECT FROM trusted)
    ORDER BY coalesce(put_back_at, created_at), id
    LIMIT (SELECT count(*) FROM wanting)
    FOR UPDATE SKIP LOCKED
),
given AS MATERIALIZED (
    SELECT free.id, token, key, fingerprint, keep_ms
    FROM (
        SELECT id, row_number() OVER (ORDER BY since, id) AS turn
        -- No batch is larger. Without a number here the planner takes a tenth of all idle rows for what
        -- one statement takes, and looks through the whole table for them.
        FROM (SELECT * FROM free LIMIT 64) AS free
    ) AS free
    JOIN wanting USING (turn)
),
-- The key's row comes before the lease: whoever finds the key taken takes no lease. An empty stock
-- leaves no row.
noted AS (
    INSERT INTO claim_requests (key, fingerprint, claim_token, instance_id, expires_at)
    SELECT key, fingerprint, token, id, now() + keep_ms * interval '1 millisecond'
    FROM given
    WHERE key IS NOT NULL
    -- Two statements that want the same keys wait for one another in one order.
    ORDER BY key
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
    -- No other claim has any of these tokens.
    WHERE claim_requests.claim_token = ANY ($1 || $7) OR claim_requests.expires_at < now()
    RETURNING claim_token
),
-- The trigger sets the epoch and writes the event, so this one statement is the whole lease.
leased AS (
    UPDATE instances
    SET status = 'claiming',
        status_actor = 'claim',
        status_reason = 'leased',
        claim_token = token,
        claim_expires_at = now() + $2 * interval '1 millisecond'
    FROM given
    WHERE instances.id = given.id AND (key IS NULL OR token IN (SELECT claim_token FROM noted))
    RETURNING claim_token, instances.id, service_id, name, url, gateway_token, claim_expires_at,
        epoch, failed_claims
)
SELECT NULL AS refusal, claim_token AS token, id, service_id, name, url, gateway_token,
    claim_expires_at, epoch, failed_claims
FROM leased
UNION ALL
SELECT NULL, claim_token, id, service_id, name, url, gateway_token, claim_expires_at, epoch,
    failed_claims
FROM held
WHERE status = 'claiming'
UNION ALL
SELECT 'key taken', token, id, '', '', NULL, NULL, now(), 0, 0::smallint
FROM given
WHERE key IS NOT NULL AND token NOT IN (SELECT claim_token FROM noted)
UNION ALL
SELECT 'unverified', token, '', '', '', NULL, NULL, now(), 0, 0::smallint
FROM wanting
WHERE NOT EXISTS (SELECT FROM trusted)
