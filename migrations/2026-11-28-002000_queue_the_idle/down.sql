SET LOCAL lock_timeout = '400ms';

DO $$
BEGIN
    IF to_regclass('idx_instances_queue') IS NULL THEN
        RETURN;
    END IF;
    DROP INDEX idx_instances_queue;
    CREATE INDEX idx_instances_idle ON instances (created_at, id) WHERE status = 'idle';
END $$;

ALTER TABLE instances DROP COLUMN put_back_at;

COMMENT ON COLUMN instances.created_at IS 'When the row, or the service before it, was made. The oldest idle one is claimed first.';
