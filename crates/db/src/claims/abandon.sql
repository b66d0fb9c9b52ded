-- claims::abandon
-- $1 the token, $2 the reason, $3 what a caller who comes again with the same key is told. Nobody
-- knows whether the agent was provisioned, so it is never handed to anybody else.
WITH noted AS (
    UPDATE claim_requests
    SET outcome = $3
    WHERE claim_token = $1 AND outcome IS NULL
),
abandoned AS (
    UPDATE instances
    -- One whose ownership became unverified meanwhile waits for a person.
    SET status = CASE WHEN unasked THEN 'crashed' ELSE 'dead' END,
        status_actor = 'claim',
        status_reason = $2,
        claim_token = NULL,
        claim_expires_at = NULL
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    WHERE claim_token = $1 AND (status = 'claiming') IS TRUE
    RETURNING id
),
-- What claims cost counts as lost, as what is given up on Railway's word does.
counted AS (
    INSERT INTO fuse_losses (instance_id)
    SELECT id
    FROM abandoned
    ON CONFLICT (instance_id) DO UPDATE SET at = now()
)
SELECT id FROM abandoned
