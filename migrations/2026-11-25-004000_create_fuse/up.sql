-- The state of the fuse, so that neither a restart nor another leader forgets what was lost lately and
-- what is held back.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE fuse (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    report jsonb
);

COMMENT ON TABLE fuse IS 'How the fuse stood after the last tick.';
COMMENT ON COLUMN fuse.only_row IS 'There is one row.';
COMMENT ON COLUMN fuse.report IS 'Since when it has tripped, why, and which losses it holds back and can be confirmed; null while it is whole.';

CREATE TABLE fuse_losses (
    instance_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE fuse_losses IS 'The losses of the last ten minutes, each instance once, written with the change of status itself. What a person asked for or confirmed is not in it.';
COMMENT ON COLUMN fuse_losses.instance_id IS 'The instance. No foreign key: its row may go sooner.';
COMMENT ON COLUMN fuse_losses.at IS 'When it was lost, the last time.';

CREATE TABLE fuse_row_counts (
    at timestamptz PRIMARY KEY DEFAULT now(),
    rows bigint NOT NULL
);

COMMENT ON TABLE fuse_row_counts IS 'How many rows there were, every half minute of the last ten and once before: the limit is a share of those at the start of these ten.';
COMMENT ON COLUMN fuse_row_counts.at IS 'When.';
COMMENT ON COLUMN fuse_row_counts.rows IS 'Rows that were not to be destroyed.';
