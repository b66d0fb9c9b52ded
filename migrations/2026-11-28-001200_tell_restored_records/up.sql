-- Whether these records are those that were written last, or an older state of them: restored from a
-- dump, recovered to a point in time, or taken over from a standby that may have lost commits.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE record_identity (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation bigint NOT NULL,
    verified_at timestamptz NOT NULL,
    instances_oid oid NOT NULL,
    cluster text,
    timeline text,
    written_by xid NOT NULL
);

COMMENT ON TABLE record_identity IS 'Tells whether these records were restored: a copy of this row betrays itself. Nobody writes it but pool_stamp_record().';
COMMENT ON COLUMN record_identity.only_row IS 'There is one row.';
COMMENT ON COLUMN record_identity.generation IS 'Rises each time that the records were found to be possibly older than the world.';
COMMENT ON COLUMN record_identity.verified_at IS 'Since when nothing speaks against them. What is recorded as begun before is unverified where its agent was not asked since.';
COMMENT ON COLUMN record_identity.instances_oid IS 'The table instances. TRUNCATE, VACUUM FULL and CLUSTER keep it; a restored table has another.';
COMMENT ON COLUMN record_identity.cluster IS 'The system identifier of the cluster; null where it does not tell.';
COMMENT ON COLUMN record_identity.timeline IS 'Its timeline, which changes when a standby is promoted and when a backup is recovered; null where it does not tell.';
COMMENT ON COLUMN record_identity.written_by IS 'The transaction that wrote this row, as its xmin says. Whoever copies the row into a table, a restore too, does so in another.';

-- Where a managed database does not tell, or this version has no such function.
CREATE FUNCTION pool_cluster() RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN (SELECT system_identifier::text FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
    RETURN NULL;
END $$;

-- By the file that is written now: the control file tells the timeline only after a checkpoint.
CREATE FUNCTION pool_timeline() RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported
    OR object_not_in_prerequisite_state
THEN
    RETURN NULL;
END $$;

-- Holds the row where nothing speaks against the records. The cluster is left out, which takes ten times
-- as long to tell as all the rest: a session does not change its cluster.
CREATE VIEW unbroken_record AS
SELECT generation, (SELECT coalesce(max(id), 0) FROM ticks) AS tick
FROM record_identity
WHERE xmin = written_by
    AND instances_oid = to_regclass('instances')::oid
    AND coalesce(timeline = pool_timeline(), true);

COMMENT ON VIEW unbroken_record IS 'The row of record_identity and the newest tick; no row where the records may be older than the world.';

-- Why the records may be older than the world; null where nothing says so.
CREATE FUNCTION pool_record_doubt(seen_generation bigint, seen_tick bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    record record_identity;
    is_as_written boolean;
    newest_tick bigint := (SELECT coalesce(max(id), 0) FROM ticks);
BEGIN
    SELECT * INTO record FROM record_identity;
    SELECT xmin = written_by INTO is_as_written FROM record_identity;
    RETURN CASE
        WHEN record IS NULL THEN 'its identity is missing'
        WHEN record.cluster <> pool_cluster() THEN 'it is in another cluster than before'
        WHEN NOT is_as_written OR record.instances_oid <> to_regclass('instances')::oid
            THEN 'it was restored or copied'
        WHEN record.timeline <> pool_timeline()
            THEN 'a standby was promoted, or a backup recovered'
        WHEN (record.generation, newest_tick) < (seen_generation, seen_tick)
            THEN 'it went back in time'
    END;
END $$;

CREATE FUNCTION pool_stamp_record(past_generation bigint) RETURNS void
    LANGUAGE sql
    AS $$
INSERT INTO record_identity AS known
    (generation, verified_at, instances_oid, cluster, timeline, written_by)
VALUES
    (past_generation + 1, now(), to_regclass('instances')::oid, pool_cluster(), pool_timeline(), '0')
ON CONFLICT (only_row) DO UPDATE
SET generation = greatest(known.generation, past_generation) + 1,
    verified_at = excluded.verified_at,
    instances_oid = excluded.instances_oid,
    cluster = excluded.cluster,
    timeline = excluded.timeline;
-- The same transaction, and so the same number.
UPDATE record_identity SET written_by = xmin;
$$;

-- Looks whether anything speaks against the records, and if so makes everything unverified that is not
-- somebody's by them. `because` does so in any case.
CREATE FUNCTION pool_verify_record(
    seen_generation bigint, seen_tick bigint, because text,
    OUT generation bigint, OUT tick bigint, OUT doubt text, OUT doubted bigint
)
    LANGUAGE plpgsql
    AS $$
BEGIN
    doubt := coalesce(because, pool_record_doubt(seen_generation, seen_tick));
    IF doubt IS NOT NULL THEN
        -- One does it; who waited here finds it done.
        LOCK TABLE record_identity IN SHARE ROW EXCLUSIVE MODE;
        doubt := coalesce(because, pool_record_doubt(seen_generation, seen_tick));
    END IF;
    IF doubt IS NOT NULL THEN
        WITH doubtful AS MATERIALIZED (
            SELECT id
            FROM instances
            WHERE status IN ('starting', 'idle', 'claiming') AND NOT unasked
            ORDER BY id
            FOR UPDATE
        )
        UPDATE instances
        SET status = CASE status WHEN 'claiming' THEN 'claiming' ELSE 'starting' END,
            unasked = true,
            missing_since = NULL,
            status_actor = 'verification',
            status_reason = 'the record may be older than its agent: ' || doubt
        FROM doubtful
        WHERE instances.id = doubtful.id;
        GET DIAGNOSTICS doubted = ROW_COUNT;
        PERFORM pool_stamp_record(seen_generation);
    END IF;
    SELECT known.generation INTO generation FROM record_identity AS known;
    SELECT coalesce(max(id), 0) INTO tick FROM ticks;
END $$;

-- As before, and nobody decides from records that may be older than the world.
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
    IF NOT EXISTS (SELECT FROM unbroken_record) THEN
        RAISE EXCEPTION 'the records may be older than the world'
            USING ERRCODE = 'PO003', CONSTRAINT = 'unbroken_record';
    END IF;
END $$;

COMMENT ON FUNCTION pool_cluster() IS 'The system identifier of the cluster; null where it does not tell.';
COMMENT ON FUNCTION pool_timeline() IS 'The timeline that is written now; null where it does not tell, as a standby.';
COMMENT ON FUNCTION pool_record_doubt(bigint, bigint) IS 'Why the records may be older than the world, given what a server has seen of them; null where nothing says so.';
COMMENT ON FUNCTION pool_stamp_record(bigint) IS 'Writes record_identity anew: from now on nothing speaks against the records.';
COMMENT ON FUNCTION pool_verify_record(bigint, bigint, text) IS 'Makes everything unverified that is not somebody''s by records which may be older than the world, or for the reason that is given.';
COMMENT ON FUNCTION pool_check_term(bigint) IS 'Begins every transaction of a leader; refuses one whose term is not the newest (PO002), and any while the records may be older than the world (PO003).';

SELECT pool_stamp_record(0);
