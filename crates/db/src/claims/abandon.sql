-- claims::abandon
-- $1 the token, $2 the reason. Nobody knows whether the agent was provisioned, so it is never
-- handed to anybody else.
UPDATE instances
SET status = 'dead',
    status_actor = 'claim',
    status_reason = $2,
    claim_token = NULL,
    claim_expires_at = NULL
-- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
WHERE claim_token = $1 AND (status = 'claiming') IS TRUE
