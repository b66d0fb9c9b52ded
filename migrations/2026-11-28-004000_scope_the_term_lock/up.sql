-- The lock that orders leaders' transactions and new terms is one pool's alone: of several pools in the
-- schemas of one database, each has its own. In `public` it stays what it was.
SET LOCAL lock_timeout = '400ms';

DO $$
BEGIN
    IF current_schema() <> 'public' THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION pool_term_lock() RETURNS bigint LANGUAGE sql IMMUTABLE AS %L',
            format('SELECT %s::bigint', hashtextextended(current_schema(), x'706f6f6c7465726d'::bigint))
        );
    END IF;
END $$;
