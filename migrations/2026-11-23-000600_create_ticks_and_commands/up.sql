-- What the leader did, and what people asked of it.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE ticks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    term bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    complete boolean NOT NULL,
    report jsonb NOT NULL
);

COMMENT ON TABLE ticks IS 'The last 1,000 ticks.';
COMMENT ON COLUMN ticks.id IS 'In their order.';
COMMENT ON COLUMN ticks.term IS 'Of which leader.';
COMMENT ON COLUMN ticks.started_at IS 'When it began.';
COMMENT ON COLUMN ticks.ended_at IS 'When it ended.';
COMMENT ON COLUMN ticks.complete IS 'Whether its listing of Railway was complete.';
COMMENT ON COLUMN ticks.report IS 'What it saw, did, and held back and why.';

CREATE TABLE commands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    arguments jsonb NOT NULL DEFAULT '{}',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    tick_id bigint,
    result jsonb,
    done_at timestamptz
);

CREATE INDEX idx_commands_pending ON commands (id) WHERE done_at IS NULL;

COMMENT ON TABLE commands IS 'What a person asked of the leader.';
COMMENT ON COLUMN commands.id IS 'In the order in which they were asked.';
COMMENT ON COLUMN commands.kind IS 'reconcile, replenish or confirm_fuse.';
COMMENT ON COLUMN commands.arguments IS 'replenish: count, null for a plain tick; confirm_fuse: ids.';
COMMENT ON COLUMN commands.requested_by IS 'Who asked.';
COMMENT ON COLUMN commands.requested_at IS 'When.';
COMMENT ON COLUMN commands.tick_id IS 'The tick that did it. No foreign key: ticks are forgotten sooner.';
COMMENT ON COLUMN commands.result IS 'What came of it.';
COMMENT ON COLUMN commands.done_at IS 'When it was done.';
