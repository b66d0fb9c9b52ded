-- claims::abandon
-- For all who abandon at once. Each has one place in these arrays: $1 his token, $2 the reason, $3 what a
-- caller who comes again with the same key is told. Nobody knows whether the agent was provisioned, so it is
-- never handed to anybody else.
WITH asks AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS ask (token, reason, outcome)
),
noted AS (
    UPDATE claim_requests
    SET outcome = asks.outcome
    FROM asks
    WHERE claim_token = token AND claim_requests.outcome IS NULL
),
leased AS MATERIALIZED (
    SELECT id, token, reason
    FROM asks
    JOIN instances ON claim_token = token
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    WHERE (status = 'claiming') IS TRUE
    -- Nobody waits for a row that another one's statement holds.
    FOR NO KEY UPDATE OF instances SKIP LOCKED
),
abandoned AS (
    UPDATE instances
    -- One whose ownership became unverified meanwhile waits for a person.
    SET status = CASE WHEN unasked THEN 'crashed' ELSE 'dead' END,
        status_actor = 'claim',
        status_reason = reason,
        claim_token = NULL,
        claim_expires_at = NULL
    FROM leased
    WHERE instances.id = leased.id
    RETURNING token, instances.id
),
-- What claims cost counts as lost, as what is given up on Railway's word does.
counted AS (
    INSERT INTO fuse_losses (instance_id)
    SELECT id
    FROM abandoned
    ON CONFLICT (instance_id) DO UPDATE SET at = now()
)
SELECT token FROM abandoned
