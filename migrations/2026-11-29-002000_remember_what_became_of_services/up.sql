-- What became of each service, for as long as anybody may see it again: in a small table of its own, so
-- that the event log may be forgotten whole months at a time.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE service_fates (
    service_id text PRIMARY KEY,
    instance_id text NOT NULL,
    fate text NOT NULL CHECK (fate IN ('unclaimed', 'claimed', 'removed')),
    event_id bigint NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX idx_service_fates_instance_id ON service_fates (instance_id);

COMMENT ON TABLE service_fates IS 'What became of each service that an instance ever had, as its events said; kept for ever. Written by the trigger alone.';
COMMENT ON COLUMN service_fates.service_id IS 'The service.';
COMMENT ON COLUMN service_fates.instance_id IS 'Its instance. No foreign key: this outlives it.';
COMMENT ON COLUMN service_fates.fate IS 'unclaimed; claimed, also where it crashed since; removed.';
COMMENT ON COLUMN service_fates.event_id IS 'The event that said so.';

-- Whoever wrote an event by the functions before these has ended when this is granted, so that its event
-- is seen by what copies the older ones.
LOCK TABLE instances IN SHARE ROW EXCLUSIVE MODE;

CREATE OR REPLACE FUNCTION instances_before_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    event bigint;
BEGIN
    -- Only this trigger counts and dates, whatever the statement says.
    NEW.epoch := OLD.epoch;
    NEW.status_changed_at := OLD.status_changed_at;

    IF NEW.status IS NOT DISTINCT FROM OLD.status
        AND NEW.delete_requested_at IS NOT DISTINCT FROM OLD.delete_requested_at
    THEN
        IF NOT NEW.unasked OR OLD.unasked THEN
            RETURN NEW;
        END IF;
        -- What was decided while it was verified is void, as after a change of status.
        IF NEW.status NOT IN ('starting', 'claiming') THEN
            PERFORM instances_refuse(OLD, format('cannot be unasked while %s', NEW.status));
        END IF;
    ELSIF NEW.status IS DISTINCT FROM OLD.status THEN
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
        IF NEW.status IN ('claimed', 'dead') AND NEW.unasked THEN
            PERFORM instances_refuse(OLD, format('cannot be unasked while %s', NEW.status));
        END IF;
        IF NEW.status = 'crashed' AND OLD.status <> 'claimed'
            AND NOT (OLD.unasked AND NEW.unasked)
        THEN
            PERFORM instances_refuse(OLD,
                format('cannot change from %s to %s, since it is nobody''s',
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
         NEW.epoch)
    RETURNING id INTO event;
    IF NEW.status IN ('claimed', 'crashed') THEN
        INSERT INTO service_fates (service_id, instance_id, fate, event_id)
        VALUES (NEW.service_id, NEW.id, 'claimed', event)
        ON CONFLICT (service_id) DO UPDATE
        SET instance_id = excluded.instance_id, fate = excluded.fate, event_id = excluded.event_id;
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION instances_before_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    event bigint;
BEGIN
    IF OLD.status <> 'dead' AND OLD.delete_requested_at IS NULL THEN
        PERFORM instances_refuse(OLD,
            format('cannot change from %s to no row', OLD.status));
    END IF;
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (OLD.id, OLD.service_id, OLD.status, NULL, OLD.status_actor, OLD.status_reason, OLD.epoch)
    RETURNING id INTO event;
    INSERT INTO service_fates (service_id, instance_id, fate, event_id)
    VALUES (OLD.service_id, OLD.id, 'removed', event)
    ON CONFLICT (service_id) DO UPDATE
    SET instance_id = excluded.instance_id, fate = excluded.fate, event_id = excluded.event_id;
    RETURN OLD;
END $$;

CREATE OR REPLACE FUNCTION instances_after_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    event bigint;
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
        (NEW.id, NEW.service_id, NULL, NEW.status, NEW.status_actor, NEW.status_reason, NEW.epoch)
    RETURNING id INTO event;
    INSERT INTO service_fates (service_id, instance_id, fate, event_id)
    VALUES (NEW.service_id, NEW.id,
        CASE WHEN NEW.status IN ('claimed', 'crashed') THEN 'claimed' ELSE 'unclaimed' END, event)
    ON CONFLICT (service_id) DO UPDATE
    SET instance_id = excluded.instance_id, fate = excluded.fate, event_id = excluded.event_id;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION instances_before_update() IS 'Refuses illegal changes; sets epoch and status_changed_at, also when an instance becomes unasked; writes the event, and that a service was claimed.';
COMMENT ON FUNCTION instances_before_delete() IS 'Lets a row go only when it is dead or its destruction was asked for; writes the event, and that the service was removed.';
COMMENT ON FUNCTION instances_after_insert() IS 'Refuses a row in a state that no change leads to; writes the event, and that there is the service.';
