-- instances::people::write
-- $1 the id, $2 the status, $3 whether its destruction is asked for, $4 the actor, $5 the reason.
UPDATE instances
SET status = $2,
    delete_requested_at = CASE WHEN $3 THEN coalesce(delete_requested_at, now()) END,
    unasked = unasked AND status = $2 AND NOT $3,
    status_actor = $4,
    status_reason = $5
WHERE id = $1
