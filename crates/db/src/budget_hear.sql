-- budget::hear
-- $1 when it was heard, $2 the limit, $3 what is left, $4 when the window ends, $5 who blocks us,
-- $6 until when, $7 how often in a row the edge did. Who heard last knows best, and what was spent
-- since is told with the same time.
INSERT INTO railway_limits
    (heard_at, hourly_limit, remaining, resets_at, blocked_by, blocked_until, edge_blocks)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (only_row) DO UPDATE SET
    heard_at = excluded.heard_at,
    hourly_limit = excluded.hourly_limit,
    remaining = excluded.remaining,
    resets_at = excluded.resets_at,
    blocked_by = excluded.blocked_by,
    blocked_until = excluded.blocked_until,
    edge_blocks = excluded.edge_blocks
WHERE excluded.heard_at >= railway_limits.heard_at
