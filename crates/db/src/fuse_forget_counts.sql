-- fuse::save
-- $1 the length of the window in milliseconds. The last count before it began says with how many rows
-- it began.
DELETE FROM fuse_row_counts
WHERE at < (
    SELECT max(at)
    FROM fuse_row_counts
    WHERE at <= now() - $1 * interval '1 millisecond'
)
