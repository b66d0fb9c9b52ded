-- An instance that a claim put back is taken last, and not first again: claims walk through the stock.
-- What was never put back keeps its place, so no row is rewritten.
SET LOCAL lock_timeout = '400ms';

ALTER TABLE instances ADD COLUMN put_back_at timestamptz;

COMMENT ON COLUMN instances.put_back_at IS 'When a claim last put it back. Idle ones are claimed in the order of this time, or else of created_at.';
COMMENT ON COLUMN instances.created_at IS 'When the row, or the service before it, was made.';

-- In place of the one by created_at, so that whatever the statistics say, a claim has only one index to
-- choose. A server of the version before claims without an index for as long as it still runs beside.
-- On a table of an earlier generation contraction builds it, beside the work that goes on.
DO $$
BEGIN
    IF to_regclass('idx_instances_idle') IS NULL THEN
        RETURN;
    END IF;
    CREATE INDEX idx_instances_queue ON instances (coalesce(put_back_at, created_at), id)
        WHERE status = 'idle';
    DROP INDEX idx_instances_idle;
END $$;
