-- claims::confirm
-- $1 the token, then what the agent is now; $7 the instance whose agent it is. $8 and $9 are what a
-- caller who comes again has to be told and the instance's row does not hold: whether the agent
-- joined a conversation, and whether it gave an invite link of its own.
WITH confirmed AS (
    UPDATE instances
    SET status = 'claimed',
        status_actor = 'claim',
        status_reason = 'confirmed',
        agent_name = $2,
        conversation_id = $3,
        invite_url = $4,
        instructions = $5,
        source_branch = $6,
        claimed_at = now(),
        claim_expires_at = NULL,
        failed_claims = 0,
        unasked = false
    -- The token stays, so that a repeated confirmation is recognised. Also after the expiry, while
    -- nobody else has decided: the agent is this claimer's in any case.
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    -- The instance is named, too: a lease that takes effect after it was given up puts the token on
    -- another one, whose agent nobody called.
    WHERE claim_token = $1 AND (id = $7) IS TRUE AND (status = 'claiming') IS TRUE
    RETURNING claim_token
),
-- The row of the caller's key, where he gave one.
noted AS (
    UPDATE claim_requests
    SET outcome = 'claimed',
        joined = $8,
        invited = $9
    FROM confirmed
    WHERE claim_requests.claim_token = confirmed.claim_token
)
SELECT count(*) AS confirmed FROM confirmed
