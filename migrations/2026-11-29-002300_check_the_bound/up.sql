-- Looks at every event, which nobody waits for.
SET LOCAL lock_timeout = '400ms';

ALTER TABLE instance_events VALIDATE CONSTRAINT instance_events_bound;
