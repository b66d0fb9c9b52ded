-- The events that there are become the first part of a log in parts. What they all keep to has to be said and
-- checked before, so that the parting itself looks at none of them. The bound lies a month ahead at
-- least, and refuses nothing: the parting follows at once.
SET LOCAL lock_timeout = '400ms';

DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE instance_events ADD CONSTRAINT instance_events_bound CHECK (at < %L) NOT VALID',
        (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months') AT TIME ZONE 'UTC');
END $$;
