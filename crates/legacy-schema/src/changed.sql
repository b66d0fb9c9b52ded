-- backfill::find_changed
-- $1 a transaction: what changed since it. $2 how many transactions earlier to begin.
INSERT INTO backfill_changed (id, service_id)
SELECT id, service_id
FROM backfill_rows
WHERE age(changed_by) <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - $1 + $2
