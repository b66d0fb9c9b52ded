-- The state machine as the database enforces it. Only functions: what calls them is installed by
-- contraction, because the Node service, which may still run until then, keeps to no rules.
SET LOCAL lock_timeout = '400ms';

-- A test compares this with `pool_domain::status::legal_changes()`, in both directions.
CREATE FUNCTION instance_status_may_change(from_status text, to_status text) RETURNS boolean
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

CREATE FUNCTION instances_refuse(refused instances, because text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'instance %: %', refused.id, because
        USING ERRCODE = 'PO001', CONSTRAINT = 'instances_legal_change', TABLE = 'instances';
END $$;

CREATE FUNCTION instances_before_update() RETURNS trigger
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

CREATE FUNCTION instances_before_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.status <> 'dead' AND OLD.delete_requested_at IS NULL THEN
        PERFORM instances_refuse(OLD,
            format('cannot change from %s to no row', OLD.status));
    END IF;
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (OLD.id, OLD.service_id, OLD.status, NULL, OLD.status_actor, OLD.status_reason, OLD.epoch);
    RETURN OLD;
END $$;

-- After, and not before, so that an insert that ON CONFLICT DO NOTHING drops writes no event.
CREATE FUNCTION instances_after_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO instance_events
        (instance_id, service_id, from_status, to_status, actor, reason, epoch)
    VALUES
        (NEW.id, NEW.service_id, NULL, NEW.status, NEW.status_actor, NEW.status_reason, NEW.epoch);
    RETURN NULL;
END $$;

COMMENT ON FUNCTION instance_status_may_change(text, text) IS 'Whether any path may make this change of status.';
COMMENT ON FUNCTION instances_refuse(instances, text) IS 'Refuses a change (PO001), naming the instance.';
COMMENT ON FUNCTION instances_before_update() IS 'Refuses illegal changes; sets epoch and status_changed_at; writes the event.';
COMMENT ON FUNCTION instances_before_delete() IS 'Lets a row go only when it is dead or its destruction was asked for; writes the event.';
COMMENT ON FUNCTION instances_after_insert() IS 'Writes the event.';
