-- The index of the statuses leaves out the claimed ones, of which there are more and more: nothing looks for
-- them by it, and each claim wrote an entry. What ends leases that ran out walks the few that are claiming.
SET LOCAL lock_timeout = '400ms';

-- On a table of an earlier generation contraction builds it, beside the work that goes on.
DO $$
BEGIN
    IF pg_get_indexdef(to_regclass('idx_instances_status')) LIKE '%WHERE (status <> ''idle''::text)' THEN
        DROP INDEX idx_instances_status;
        CREATE INDEX idx_instances_status ON instances (status)
            WHERE status <> 'idle' AND status <> 'claimed';
    END IF;
END $$;
