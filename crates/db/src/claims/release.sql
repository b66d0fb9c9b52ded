-- claims::release
-- $1 the token, $2 the reason, $3 what to add to the failed claims, $4 the status that follows, by
-- how many claims had failed before (none, one or more). It goes to the end of the queue, so that the
-- next claim does not meet it again.

-- Nothing happened, so the caller's key, where he gave one, is free again; also when the lease ran out
-- meanwhile. Where the claim has gone on to another lease, the key stays with that one.
WITH let_go AS (
    DELETE FROM claim_requests
    WHERE claim_token = $1 AND outcome IS NULL
)
UPDATE instances
-- One whose ownership became unverified meanwhile has to be asked.
SET status = CASE
        WHEN unasked THEN 'starting'
        ELSE ($4::text[])[least(failed_claims, 1) + 1]
    END,
    status_actor = 'claim',
    status_reason = $2,
    failed_claims = failed_claims + $3,
    put_back_at = now(),
    claim_token = NULL,
    claim_expires_at = NULL
-- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
WHERE claim_token = $1 AND (status = 'claiming') IS TRUE
RETURNING status
