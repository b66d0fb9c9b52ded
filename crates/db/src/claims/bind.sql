-- claims::bind
-- $1 the token, $2 the instance whose agent said so, $3 the conversation and $4 the invite link that
-- it names. The agent is somebody's, and not this claimer's: his key, where he gave one, is free again,
-- and the token goes, by which he would be told that it is his.
WITH let_go AS (
    DELETE FROM claim_requests
    WHERE claim_token = $1 AND outcome IS NULL
)
UPDATE instances
SET status = 'claimed',
    status_actor = 'claim',
    status_reason = 'its agent was in a conversation already',
    conversation_id = coalesce($3, conversation_id),
    invite_url = coalesce($4, invite_url),
    claimed_at = coalesce(claimed_at, now()),
    claim_token = NULL,
    claim_expires_at = NULL,
    failed_claims = 0,
    unasked = false
-- The instance is named, too: a lease that takes effect after it was given up puts the token on
-- another one, whose agent said nothing.
-- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
WHERE claim_token = $1 AND (id = $2) IS TRUE AND (status = 'claiming') IS TRUE
