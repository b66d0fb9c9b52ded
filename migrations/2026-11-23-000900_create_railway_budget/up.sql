-- What is known of Railway's budget, so that a new leader, and whoever else calls Railway, knows what
-- was spent and whether anything may be sent.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE railway_spending (
    minute timestamptz NOT NULL,
    purpose text NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (minute, purpose)
);

COMMENT ON TABLE railway_spending IS 'Requests to Railway of the last day, by the minute: Railway''s own windows are known only once it has answered, and minutes add up to any window.';
COMMENT ON COLUMN railway_spending.minute IS 'When the minute began.';
COMMENT ON COLUMN railway_spending.purpose IS 'listing, adoption, creating, destroying or other.';
COMMENT ON COLUMN railway_spending.requests IS 'How many, of all servers together.';

CREATE TABLE railway_limits (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    heard_at timestamptz NOT NULL,
    hourly_limit bigint,
    remaining bigint,
    resets_at timestamptz,
    blocked_by text,
    blocked_until timestamptz,
    edge_blocks integer NOT NULL DEFAULT 0
);

COMMENT ON TABLE railway_limits IS 'What Railway, or the edge in front of it, said last of its limits. To call it in spite of a block, delete the row and restart the leader.';
COMMENT ON COLUMN railway_limits.only_row IS 'There is one row.';
COMMENT ON COLUMN railway_limits.heard_at IS 'When that was. Who heard last knows best.';
COMMENT ON COLUMN railway_limits.hourly_limit IS 'Requests that it allows in an hour; null when it did not say.';
COMMENT ON COLUMN railway_limits.remaining IS 'Requests left then.';
COMMENT ON COLUMN railway_limits.resets_at IS 'When the window ends.';
COMMENT ON COLUMN railway_limits.blocked_by IS 'railway or edge; null when nobody blocks us.';
COMMENT ON COLUMN railway_limits.blocked_until IS 'Until when nothing may be sent.';
COMMENT ON COLUMN railway_limits.edge_blocks IS 'How often in a row the edge blocked us. Each time it is left alone for longer.';
