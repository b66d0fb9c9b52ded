-- Drops the table where we made it. Where an earlier generation did, only our own columns and
-- indexes go.
SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    IF 'instances' <> ALL ((SELECT pool_schema.found FROM pool_schema)::text[]) THEN
        DROP TABLE instances;
        RETURN;
    END IF;
    DROP INDEX idx_instances_claim_token;
    DROP INDEX idx_instances_idle;
    DROP INDEX idx_instances_status;
    CREATE INDEX idx_instances_status ON instances (status);
    ALTER TABLE instances RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);
    ALTER TABLE instances
        DROP COLUMN epoch,
        DROP COLUMN status_changed_at,
        DROP COLUMN status_actor,
        DROP COLUMN status_reason,
        DROP COLUMN claim_token,
        DROP COLUMN claim_expires_at,
        DROP COLUMN failed_claims,
        DROP COLUMN missing_since,
        DROP COLUMN delete_requested_at,
        DROP COLUMN unasked;
END $$;
