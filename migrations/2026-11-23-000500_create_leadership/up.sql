-- Who leads, and the check that begins every transaction of a leader.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE leader_terms (
    term bigint PRIMARY KEY,
    holder text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

COMMENT ON TABLE leader_terms IS 'Who led, and when. Only the newest term may write as the leader.';
COMMENT ON COLUMN leader_terms.term IS 'Rises by one with each new leader.';
COMMENT ON COLUMN leader_terms.holder IS 'The server that led.';
COMMENT ON COLUMN leader_terms.started_at IS 'When it took the lead.';
COMMENT ON COLUMN leader_terms.ended_at IS 'When it resigned; null when it still leads or vanished.';

-- 'poolterm' in ASCII: held shared by every transaction of a leader, and alone by the one that
-- raises the term. So when a new term is there, no transaction of an older one is still open.
CREATE FUNCTION pool_term_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS 'SELECT x''706f6f6c7465726d''::bigint';

CREATE FUNCTION pool_raise_term(new_holder text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    new_term bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(pool_term_lock());
    INSERT INTO leader_terms (term, holder)
    SELECT coalesce(max(term), 0) + 1, new_holder FROM leader_terms
    RETURNING term INTO new_term;
    RETURN new_term;
END $$;

CREATE FUNCTION pool_check_term(my_term bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(pool_term_lock());
    IF NOT EXISTS (
        SELECT FROM leader_terms
        WHERE term = my_term AND ended_at IS NULL
            AND term = (SELECT max(term) FROM leader_terms)
    ) THEN
        RAISE EXCEPTION 'term % is not the newest leader''s', my_term
            USING ERRCODE = 'PO002', CONSTRAINT = 'newest_leader_term';
    END IF;
END $$;

COMMENT ON FUNCTION pool_term_lock() IS 'The key of the advisory lock that orders leaders'' transactions and new terms.';
COMMENT ON FUNCTION pool_raise_term(text) IS 'Begins a new term, after the last transaction of every older one.';
COMMENT ON FUNCTION pool_check_term(bigint) IS 'Begins every transaction of a leader; refuses (PO002) one whose term is not the newest.';
