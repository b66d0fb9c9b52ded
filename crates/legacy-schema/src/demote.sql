-- backfill::demote
-- The legacy row is still there, and is set aside by the batch that it is in.
DELETE FROM instances
USING backfill_queue AS queue
WHERE queue.reason IS NOT NULL
    AND instances.id = queue.id
    AND instances.service_id = queue.service_id
    AND instances.status_actor = 'backfill'
