-- backfill::fill_queue
-- $1 a transaction: only what changed since it, and whatever competes with that; null for all.
-- $2 how many transactions earlier to begin.
-- Two rows for one service, or of one id: the later claim wins, the other is set aside.
WITH changed AS MATERIALIZED (
    SELECT id, service_id
    FROM backfill_rows
    WHERE $1 IS NOT NULL
        AND age(changed_by) <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - $1 + $2
),
places AS (
    SELECT id, service_id, bool_or(was_claimed) AS was_claimed, max(claimed_at) AS claimed_at,
        max(created_at) AS created_at
    FROM backfill_rows
    WHERE $1 IS NULL
        OR id IN (SELECT id FROM changed)
        OR service_id IN (SELECT service_id FROM changed)
    GROUP BY id, service_id
),
ranked AS (
    SELECT *,
        row_number() OVER (PARTITION BY service_id
            ORDER BY was_claimed DESC, claimed_at DESC, created_at DESC, id DESC) AS of_service,
        row_number() OVER (PARTITION BY id
            ORDER BY was_claimed DESC, claimed_at DESC, created_at DESC, service_id DESC) AS of_id
    FROM places
)
INSERT INTO backfill_queue (place, id, service_id, reason)
SELECT row_number() OVER (ORDER BY id, service_id), id, service_id,
    CASE
        WHEN NOT was_claimed THEN 'never claimed'
        WHEN of_service > 1 THEN 'its service was claimed later by another row'
        WHEN of_id > 1 THEN 'its id was claimed later by another row'
    END
FROM ranked
