SET LOCAL lock_timeout = '400ms';

DO $$
BEGIN
    IF pg_get_indexdef(to_regclass('idx_instances_status')) LIKE '%''claimed''%' THEN
        DROP INDEX idx_instances_status;
        CREATE INDEX idx_instances_status ON instances (status) WHERE status <> 'idle';
    END IF;
END $$;
