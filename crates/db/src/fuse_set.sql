-- fuse::save
-- $1 what it holds back and why, null while it is whole. Nothing is written when nothing changes.
INSERT INTO fuse (report)
VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET report = excluded.report
WHERE fuse.report IS DISTINCT FROM excluded.report
