-- fuse::save
-- $1 how many rows there are. Every half minute is often enough for a window of ten, and keeps few.
INSERT INTO fuse_row_counts (rows)
SELECT $1
WHERE NOT EXISTS (SELECT FROM fuse_row_counts WHERE at > now() - interval '30 seconds')
