-- claims::release
-- For all who release at once. Each has one place in these arrays: $1 his token, $2 the reason, $3 what to
-- add to the failed claims, $4 the status that follows where none had failed before, $5 where one had. An
-- instance goes to the end of the queue, so that the next claim does not meet it again.
WITH asks AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[])
        AS ask (token, reason, failed, status_after_none, status_after_some)
),
-- Nothing happened, so the caller's key, where he gave one, is free again; also when the lease ran out
-- meanwhile. Where the claim has gone on to another lease, the key stays with that one.
let_go AS (
    DELETE FROM claim_requests
    WHERE claim_token = ANY ($1) AND outcome IS NULL
),
leased AS MATERIALIZED (
    SELECT id, asks.*
    FROM asks
    JOIN instances ON claim_token = token
    -- IS TRUE keeps the planner off the index of the statuses, which is full of leases long over.
    WHERE (status = 'claiming') IS TRUE
    -- Nobody waits for a row that another one's statement holds.
    FOR NO KEY UPDATE OF instances SKIP LOCKED
)
UPDATE instances
-- One whose ownership became unverified meanwhile has to be asked.
SET status = CASE
        WHEN unasked THEN 'starting'
        WHEN failed_claims = 0 THEN status_after_none
        ELSE status_after_some
    END,
    status_actor = 'claim',
    status_reason = reason,
    failed_claims = failed_claims + failed,
    put_back_at = now(),
    claim_token = NULL,
    claim_expires_at = NULL
FROM leased
WHERE instances.id = leased.id
RETURNING token, status
