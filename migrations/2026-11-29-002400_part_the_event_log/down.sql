SET LOCAL lock_timeout = '400ms';

-- One table again, as before. Every event is copied, while whoever changes a status waits.
LOCK TABLE instance_events IN ACCESS EXCLUSIVE MODE;

DROP FUNCTION pool_keep_events(interval);
DROP VIEW instance_event_parts;

ALTER TABLE instance_events RENAME TO instance_events_in_parts;
ALTER INDEX idx_instance_events_instance_id RENAME TO idx_instance_events_in_parts;
ALTER SEQUENCE instance_events_id_seq RENAME TO instance_events_in_parts_seq;
ALTER INDEX IF EXISTS instance_events_before_pkey RENAME TO instance_events_in_parts_pkey;

CREATE TABLE instance_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id text NOT NULL,
    service_id text NOT NULL,
    from_status text,
    to_status text,
    actor text,
    reason text,
    epoch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO instance_events OVERRIDING SYSTEM VALUE
SELECT id, instance_id, service_id, from_status, to_status, actor, reason, epoch, at
FROM instance_events_in_parts;
SELECT setval('instance_events_id_seq', max(id)) FROM instance_events HAVING max(id) IS NOT NULL;

DROP TABLE instance_events_in_parts;

CREATE INDEX idx_instance_events_service_id ON instance_events (service_id, id);
CREATE INDEX idx_instance_events_instance_id ON instance_events (instance_id, id);

COMMENT ON TABLE instance_events IS 'What happened to every instance: one row for each insert, change of status, delete request and removal.';
COMMENT ON COLUMN instance_events.id IS 'In the order in which they happened to one instance.';
COMMENT ON COLUMN instance_events.instance_id IS 'The instance. No foreign key: events outlive it.';
COMMENT ON COLUMN instance_events.service_id IS 'Its service, by which adoption finds what became of it.';
COMMENT ON COLUMN instance_events.from_status IS 'The status before; null when the row was inserted.';
COMMENT ON COLUMN instance_events.to_status IS 'The status after; null when the row was removed; as before when its destruction was asked for.';
COMMENT ON COLUMN instance_events.actor IS 'Who did it.';
COMMENT ON COLUMN instance_events.reason IS 'Why.';
COMMENT ON COLUMN instance_events.epoch IS 'The epoch of the row after it.';
COMMENT ON COLUMN instance_events.at IS 'When.';

DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE instance_events ADD CONSTRAINT instance_events_bound CHECK (at < %L) NOT VALID',
        (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC');
END $$;
