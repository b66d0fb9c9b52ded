-- instances::remove
-- $1 ids, $2 the epochs that it was decided from, $3 the actor: the event of a removal takes them
-- from the row.
UPDATE instances
SET status_actor = $3, status_reason = 'removed'
FROM unnest($1::text[], $2::bigint[]) AS asked (id, epoch)
WHERE instances.id = asked.id
    AND instances.epoch = asked.epoch
    AND (instances.status = 'dead' OR instances.delete_requested_at IS NOT NULL)
