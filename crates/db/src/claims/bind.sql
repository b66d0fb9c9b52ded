-- claims::bind
-- For all who bind at once. Each has one place in these arrays: $1 his token, $2 the instance whose agent
-- said so, $3 the conversation and $4 the invite link that it names. The agent is somebody's, and not this
-- claimer's: his key, where he gave one, is free again, and the token goes, by which he would be told that
-- it is his.
WITH asks AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
        AS ask (token, instance_id, conversation_id, invite_url)
),
let_go AS (
    DELETE FROM claim_requests
    WHERE claim_token = ANY ($1) AND outcome IS NULL
),
theirs AS MATERIALIZED (
    SELECT id, token, asks.conversation_id, asks.invite_url
    FROM asks
    JOIN instances ON claim_token = token
    -- The instance is named, too: a lease that takes effect after it was given up puts the token on
    -- another one, whose agent said nothing.
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    WHERE (id = instance_id) IS TRUE AND (status = 'claiming') IS TRUE
    -- Nobody waits for a row that another one's statement holds.
    FOR NO KEY UPDATE OF instances SKIP LOCKED
)
UPDATE instances
SET status = 'claimed',
    status_actor = 'claim',
    status_reason = 'its agent was in a conversation already',
    conversation_id = coalesce(theirs.conversation_id, instances.conversation_id),
    invite_url = coalesce(theirs.invite_url, instances.invite_url),
    claimed_at = coalesce(claimed_at, now()),
    claim_token = NULL,
    claim_expires_at = NULL,
    failed_claims = 0,
    unasked = false
FROM theirs
WHERE instances.id = theirs.id
RETURNING token
