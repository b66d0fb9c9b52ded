-- The event log in parts, a month each, so that what is old is dropped whole and not looked for. The events
-- that there are become the first part, as they lie.
SET LOCAL lock_timeout = '400ms';

LOCK TABLE instance_events IN ACCESS EXCLUSIVE MODE;

ALTER TABLE instance_events RENAME TO instance_events_before;
ALTER INDEX instance_events_pkey RENAME TO instance_events_before_pkey;
ALTER INDEX idx_instance_events_instance_id RENAME TO idx_instance_events_before_instance_id;
ALTER INDEX idx_instance_events_service_id RENAME TO idx_instance_events_before_service_id;
ALTER TABLE instance_events_before ALTER COLUMN id DROP IDENTITY;

-- Without a primary key: one of a table in parts would have to hold the time as well, and would be built
-- while everybody waits. And without an index by service: what became of one is asked of service_fates.
CREATE SEQUENCE instance_events_id_seq;
CREATE TABLE instance_events (
    id bigint NOT NULL DEFAULT nextval('instance_events_id_seq'),
    instance_id text NOT NULL,
    service_id text NOT NULL,
    from_status text,
    to_status text,
    actor text,
    reason text,
    epoch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (at);
ALTER SEQUENCE instance_events_id_seq OWNED BY instance_events.id;
CREATE INDEX idx_instance_events_instance_id ON instance_events (instance_id, id);

COMMENT ON TABLE instance_events IS 'What happened to every instance: one row for each insert, change of status, delete request and removal. A part for each month, and one for what no other takes.';
COMMENT ON COLUMN instance_events.id IS 'In the order in which they happened to one instance.';
COMMENT ON COLUMN instance_events.instance_id IS 'The instance. No foreign key: events outlive it.';
COMMENT ON COLUMN instance_events.service_id IS 'Its service.';
COMMENT ON COLUMN instance_events.from_status IS 'The status before; null when the row was inserted.';
COMMENT ON COLUMN instance_events.to_status IS 'The status after; null when the row was removed; as before when its destruction was asked for.';
COMMENT ON COLUMN instance_events.actor IS 'Who did it.';
COMMENT ON COLUMN instance_events.reason IS 'Why.';
COMMENT ON COLUMN instance_events.epoch IS 'The epoch of the row after it.';
COMMENT ON COLUMN instance_events.at IS 'When. It decides the part.';

CREATE TABLE instance_events_default (LIKE instance_events INCLUDING ALL);
ALTER TABLE instance_events ATTACH PARTITION instance_events_default DEFAULT;

COMMENT ON TABLE instance_events_default IS 'Events of a month for which no leader has made a part ahead.';

DO $$
DECLARE
    bound timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM instance_events_before) THEN
        DROP TABLE instance_events_before;
        RETURN;
    END IF;
    PERFORM setval('instance_events_id_seq', (SELECT max(id) FROM instance_events_before));
    SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''')::timestamptz INTO bound
    FROM pg_constraint
    WHERE conrelid = 'instance_events_before'::regclass AND conname = 'instance_events_bound';
    EXECUTE format('ALTER TABLE instance_events ATTACH PARTITION instance_events_before '
        'FOR VALUES FROM (MINVALUE) TO (%L)', bound);
    ALTER TABLE instance_events_before DROP CONSTRAINT instance_events_bound;
    COMMENT ON TABLE instance_events_before IS 'The events from before the log had parts, and those until this one ends.';
END $$;

CREATE VIEW instance_event_parts AS
SELECT
    part.oid::regclass AS part,
    substring(bounds FROM 'FROM \(''([^'']+)''\)')::timestamptz AS begins_at,
    substring(bounds FROM 'TO \(''([^'']+)''\)')::timestamptz AS ends_at
FROM pg_inherits
JOIN pg_class AS part ON part.oid = inhrelid
CROSS JOIN LATERAL pg_get_expr(part.relpartbound, part.oid) AS bounds
WHERE inhparent = 'instance_events'::regclass AND bounds <> 'DEFAULT';

COMMENT ON VIEW instance_event_parts IS 'From when to when each part of the event log goes, but for the one that takes the rest. The first has no beginning.';

CREATE FUNCTION pool_keep_events(keep interval) RETURNS void
    LANGUAGE plpgsql
    SET timezone = 'UTC'
    SET lock_timeout = '100ms'
    AS $$
DECLARE
    home CONSTANT text := (
        SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'instance_events'::regclass
    );
    month_begins timestamptz := date_trunc('month', now());
    month_ends timestamptz;
    made text;
    old regclass;
BEGIN
    FOR month IN 0..2 LOOP
        month_ends := month_begins + interval '1 month';
        -- What the rest already took of this month stays there.
        IF NOT EXISTS (
            SELECT FROM instance_event_parts
            WHERE ends_at > month_begins AND coalesce(begins_at, '-infinity') < month_ends
        ) AND NOT EXISTS (
            SELECT FROM instance_events_default WHERE at >= month_begins AND at < month_ends
        ) THEN
            made := format('%s.instance_events_%s', home, to_char(month_begins, 'YYYY_MM'));
            EXECUTE format('CREATE TABLE %s (LIKE instance_events INCLUDING ALL)', made);
            EXECUTE format('COMMENT ON TABLE %s IS %L', made,
                format('Events of %s.', to_char(month_begins, 'YYYY-MM')));
            EXECUTE format('ALTER TABLE instance_events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                made, month_begins, month_ends);
        END IF;
        month_begins := month_ends;
    END LOOP;

    DELETE FROM instance_events_default WHERE at < now() - keep;

    -- Whoever changes a status waits behind this for as long as it waits itself.
    SELECT part INTO old FROM instance_event_parts WHERE ends_at <= now() - keep ORDER BY ends_at LIMIT 1;
    IF old IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', old);
    END IF;
END $$;

COMMENT ON FUNCTION pool_keep_events(interval) IS 'Makes the parts of the event log for this month and the two that follow, and drops the oldest one where all of it is older than that.';

SELECT pool_keep_events(interval '100 years');
