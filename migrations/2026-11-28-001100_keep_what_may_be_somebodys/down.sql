SET LOCAL lock_timeout = '400ms';

CREATE OR REPLACE FUNCTION instance_status_may_change(from_status text, to_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
SELECT (from_status, to_status) IN (
    ('starting', 'idle'),
    ('starting', 'claimed'),
    ('starting', 'dead'),
    ('idle', 'starting'),
    ('idle', 'claiming'),
    ('idle', 'dead'),
    ('claiming', 'starting'),
    ('claiming', 'idle'),
    ('claiming', 'claimed'),
    ('claiming', 'dead'),
    ('claimed', 'crashed'),
    ('crashed', 'claimed')
)
$$;

CREATE OR REPLACE FUNCTION instances_before_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- Only this trigger counts and dates, whatever the statement says.
    NEW.epoch := OLD.epoch;
    NEW.status_changed_at := OLD.status_changed_at;

    IF NEW.status IS NOT DISTINCT FROM OLD.status
        AND NEW.delete_requested_at IS NOT DISTINCT FROM OLD.delete_requested_at
    THEN
        IF NEW.status = 'idle' AND NEW.unasked THEN
            PERFORM instances_refuse(OLD, 'cannot be unasked while idle');
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.status IS DISTINCT FROM OLD.status THEN
        IF NOT coalesce(instance_status_may_change(OLD.status, NEW.status), false) THEN
            PERFORM instances_refuse(OLD,
                format('cannot change from %s to %s', OLD.status, NEW.status));
        END IF;
        IF OLD.delete_requested_at IS NOT NULL OR NEW.delete_requested_at IS NOT NULL THEN
            PERFORM instances_refuse(OLD,
                format('cannot change from %s to %s once its destruction was asked for',
                    OLD.status, NEW.status));
        END IF;
        IF NEW.status = 'idle' AND NEW.unasked THEN
            PERFORM instances_refuse(OLD,
                format('cannot change from %s to %s before its agent was asked',
                    OLD.status, NEW.status));
        END IF;
        IF OLD.status = 'starting' AND NEW.status = 'claimed' AND NOT OLD.unasked THEN
            PERFORM instances_refuse(OLD,
                format('cannot change from %s to %s without a lease, since its agent was asked',
                    OLD.status, NEW.status));
        END IF;
    ELSIF OLD.delete_requested_at IS NOT NULL THEN
        PERFORM instances_refuse(OLD,
            format('cannot take back that its destruction was asked for (%s to %s)',
                OLD.status, NEW.status));
    ELSIF NEW.status NOT IN ('claimed', 'crashed') THEN
        PERFORM instances_refuse(OLD,
            format('cannot be asked to be destroyed from %s to %s; it goes by being dead',
                OLD.status, NEW.status));
    END IF;

    NEW.epoch := OLD.epoch + 1;
    NEW.status_changed_at := now();
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (NEW.id, NEW.service_id, OLD.status, NEW.status, NEW.status_actor, NEW.status_reason,
         NEW.epoch);
    RETURN NEW;
END $$;

COMMENT ON FUNCTION instances_before_update() IS 'Refuses illegal changes; sets epoch and status_changed_at; writes the event.';
COMMENT ON COLUMN instances.unasked IS 'Adopted, and its agent was not yet asked whether it holds a conversation. Such a one is never idle.';
