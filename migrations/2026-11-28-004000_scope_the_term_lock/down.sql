SET LOCAL lock_timeout = '400ms';

CREATE OR REPLACE FUNCTION pool_term_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS 'SELECT x''706f6f6c7465726d''::bigint';
