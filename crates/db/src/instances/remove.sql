-- instances::remove
-- $1 ids, $2 the epochs that it was decided from. Who and why was written to the rows just before.
DELETE FROM instances
USING unnest($1::text[], $2::bigint[]) AS asked (id, epoch)
WHERE instances.id = asked.id
    AND instances.epoch = asked.epoch
    AND (instances.status = 'dead' OR instances.delete_requested_at IS NOT NULL)
RETURNING instances.id
