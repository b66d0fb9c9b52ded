-- What became of the services before: 1,000 at a time, each in a transaction of its own, so that whoever
-- claims one of them meanwhile waits for milliseconds. What the trigger has written is newer, and stays.
-- One statement, and nothing else in this file, since only that may end transactions. May be run again.
DO $$
DECLARE
    after text := '';
    upto text;
BEGIN
    -- A log that was never analysed is read whole for each of them.
    ANALYZE instance_events;
    COMMIT;
    LOOP
        SELECT max(service_id) INTO upto
        FROM (
            SELECT DISTINCT service_id
            FROM instance_events
            WHERE service_id > after
            ORDER BY service_id
            LIMIT 1000
        ) AS next;
        EXIT WHEN upto IS NULL;
        INSERT INTO service_fates (service_id, instance_id, fate, event_id)
        SELECT DISTINCT ON (service_id)
            service_id,
            instance_id,
            CASE
                WHEN to_status IS NULL THEN 'removed'
                WHEN to_status IN ('claimed', 'crashed') THEN 'claimed'
                ELSE 'unclaimed'
            END,
            id
        FROM instance_events
        WHERE service_id > after AND service_id <= upto
        ORDER BY service_id, id DESC
        ON CONFLICT (service_id) DO NOTHING;
        COMMIT;
        after := upto;
    END LOOP;
END $$;
