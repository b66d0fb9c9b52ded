-- claims::confirm
-- For all who confirm at once. Each has one place in these arrays: $1 his token, then what the agent is now;
-- $7 the instance whose agent it is. $8 and $9 are what a caller who comes again has to be told and the
-- instance's row does not hold: whether the agent joined a conversation, and whether it gave an invite link
-- of its own.
WITH asks AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::boolean[], $9::boolean[]
    ) AS ask (
        token, agent_name, conversation_id, invite_url, instructions, source_branch, instance_id,
        joined, invited
    )
),
ours AS MATERIALIZED (
    SELECT id, token
    FROM asks
    JOIN instances ON claim_token = token
    -- Also after the expiry, while nobody else has decided: the agent is this claimer's in any case.
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    -- The instance is named, too: a lease that takes effect after it was given up puts the token on
    -- another one, whose agent nobody called.
    WHERE (id = instance_id) IS TRUE AND (status = 'claiming') IS TRUE
    -- Nobody waits for a row that another one's statement holds.
    FOR NO KEY UPDATE OF instances SKIP LOCKED
),
confirmed AS (
    UPDATE instances
    SET status = 'claimed',
        status_actor = 'claim',
        status_reason = 'confirmed',
        agent_name = asks.agent_name,
        conversation_id = asks.conversation_id,
        invite_url = asks.invite_url,
        instructions = asks.instructions,
        source_branch = asks.source_branch,
        claimed_at = now(),
        claim_expires_at = NULL,
        failed_claims = 0,
        unasked = false
    FROM ours
    JOIN asks USING (token)
    WHERE instances.id = ours.id
    -- The token stays, so that a repeated confirmation is recognised.
    RETURNING claim_token
),
-- The rows of the callers' keys, where they gave some.
noted AS (
    UPDATE claim_requests
    SET outcome = 'claimed',
        joined = asks.joined,
        invited = asks.invited
    FROM confirmed
    JOIN asks ON token = confirmed.claim_token
    WHERE claim_requests.claim_token = confirmed.claim_token
)
SELECT claim_token AS token FROM confirmed
