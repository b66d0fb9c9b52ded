SET LOCAL lock_timeout = '400ms';

COMMENT ON COLUMN commands.kind IS 'reconcile, replenish or confirm_fuse.';
COMMENT ON COLUMN commands.arguments IS 'replenish: count, null for a plain tick; confirm_fuse: ids.';
DROP TRIGGER remember_new ON provisions;
DROP TRIGGER remember_made ON provisions;
DROP TRIGGER release_gone ON provisions;
DROP FUNCTION provisions_remember();
DROP FUNCTION provisions_release();
DROP TABLE belongings;
