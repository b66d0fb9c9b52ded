SET LOCAL lock_timeout = '400ms';

DROP TABLE instance_events;
