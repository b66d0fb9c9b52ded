-- Drops the table where we made it. Where an earlier generation did, only our own columns and
-- indexes go.
SET LOCAL lock_timeout = '400ms';

DO $$
DECLARE
    claimed_query text;
    stranded bigint;
BEGIN
    IF 'instances' <> ALL ((SELECT pool_schema.found FROM pool_schema)::text[]) THEN
        -- A claimed agent whose only record is this table must not be forgotten by one command.
        claimed_query := 'SELECT count(*) FROM instances WHERE status IN '
            '(''claiming'', ''claimed'', ''crashed'')';
        IF to_regclass('agent_metadata') IS NOT NULL THEN
            claimed_query := claimed_query
                || ' AND id NOT IN (SELECT id FROM agent_metadata WHERE id IS NOT NULL)';
        END IF;
        IF to_regclass('pool_instances') IS NOT NULL THEN
            claimed_query := claimed_query
                || ' AND id NOT IN (SELECT id FROM pool_instances WHERE id IS NOT NULL)';
        END IF;
        EXECUTE claimed_query INTO stranded;
        IF stranded > 0 THEN
            RAISE EXCEPTION 'instances is the only record of % claimed instances, so it is not dropped',
                stranded
                USING HINT = 'Dismiss or destroy them first, or restore a backup instead.';
        END IF;
        DROP TABLE instances;
        RETURN;
    END IF;
    DROP INDEX IF EXISTS idx_instances_claim_token;
    DROP INDEX IF EXISTS idx_instances_idle;
    -- Contraction made it partial.
    IF coalesce(pg_get_indexdef(to_regclass('idx_instances_status')), 'WHERE') LIKE '%WHERE%' THEN
        DROP INDEX IF EXISTS idx_instances_status;
        CREATE INDEX idx_instances_status ON instances (status);
    END IF;
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
