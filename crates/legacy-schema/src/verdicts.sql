-- backfill::prepare
-- The queue of one session, and what is to become of each of its places. A place is a row of one id
-- and one service; where both legacy tables have it, it is one place.
CREATE TEMP TABLE IF NOT EXISTS backfill_queue (
    place bigint PRIMARY KEY,
    id text NOT NULL,
    service_id text NOT NULL,
    reason text
);

-- Rows that changed while others were copied.
CREATE TEMP TABLE IF NOT EXISTS backfill_changed (
    id text NOT NULL,
    service_id text NOT NULL
);

CREATE OR REPLACE TEMP VIEW backfill_verdicts AS
SELECT
    queue.place,
    queue.id,
    queue.service_id,
    same.id IS NOT NULL AS is_there,
    CASE
        WHEN queue.reason IS NOT NULL THEN queue.reason
        -- The status of an instance is the truth about it.
        WHEN same.status IN ('starting', 'idle', 'claiming', 'dead')
            THEN 'its instance is not claimed'
        WHEN same.id IS NOT NULL THEN NULL
        WHEN EXISTS (SELECT FROM backfill_instances AS other WHERE other.service_id = queue.service_id)
            THEN 'its service belongs to another instance'
        WHEN EXISTS (SELECT FROM backfill_instances AS other WHERE other.id = queue.id)
            THEN 'its id belongs to another instance'
        -- Whoever made that table had taken over every claimed row by then.
        WHEN (SELECT instances FROM backfill_found) THEN 'its instance was deleted'
    END AS reason
FROM backfill_queue AS queue
LEFT JOIN backfill_instances AS same
    ON same.id = queue.id AND same.service_id = queue.service_id;
