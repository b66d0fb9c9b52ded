SET LOCAL lock_timeout = '400ms';

CREATE OR REPLACE FUNCTION instances_after_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (NEW.id, NEW.service_id, NULL, NEW.status, NEW.status_actor, NEW.status_reason, NEW.epoch);
    RETURN NULL;
END $$;

COMMENT ON FUNCTION instances_after_insert() IS 'Writes the event.';
