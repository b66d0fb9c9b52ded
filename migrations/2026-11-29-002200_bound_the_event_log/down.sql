SET LOCAL lock_timeout = '400ms';

ALTER TABLE instance_events DROP CONSTRAINT instance_events_bound;
