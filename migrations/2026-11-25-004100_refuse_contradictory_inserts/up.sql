-- What no UPDATE can lead to, no INSERT may begin with. The trigger itself is there already.
SET LOCAL lock_timeout = '400ms';

CREATE OR REPLACE FUNCTION instances_after_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.unasked AND NEW.status NOT IN ('starting', 'crashed') THEN
        PERFORM instances_refuse(NEW,
            format('cannot begin as %s before its agent was asked', NEW.status));
    END IF;
    IF NEW.delete_requested_at IS NOT NULL AND NEW.status NOT IN ('claimed', 'crashed') THEN
        PERFORM instances_refuse(NEW,
            format('cannot begin as %s with its destruction asked for', NEW.status));
    END IF;
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (NEW.id, NEW.service_id, NULL, NEW.status, NEW.status_actor, NEW.status_reason, NEW.epoch);
    RETURN NULL;
END $$;

COMMENT ON FUNCTION instances_after_insert() IS 'Refuses a row in a state that no change leads to; writes the event.';
