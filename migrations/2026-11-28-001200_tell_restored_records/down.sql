SET LOCAL lock_timeout = '400ms';

CREATE OR REPLACE FUNCTION pool_check_term(my_term bigint) RETURNS void
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

COMMENT ON FUNCTION pool_check_term(bigint) IS 'Begins every transaction of a leader; refuses (PO002) one whose term is not the newest.';

DROP FUNCTION pool_verify_record(bigint, bigint, text);
DROP FUNCTION pool_stamp_record(bigint);
DROP FUNCTION pool_record_doubt(bigint, bigint);
DROP VIEW unbroken_record;
DROP FUNCTION pool_timeline();
DROP FUNCTION pool_cluster();
DROP TABLE record_identity;
