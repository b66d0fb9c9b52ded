-- backfill::fill_queue
-- $1 whether all rows are wanted, or only what `backfill_changed` names and whatever competes with that.
-- Two rows for one service, or of one id: the later claim wins, the other is set aside.
-- Each way to a row is a join of its own: with an OR between them the database compares every row
-- with every change.
WITH near AS (
    SELECT id, service_id, was_claimed, claimed_at, created_at
    FROM backfill_rows
    WHERE $1
    UNION ALL
    SELECT id, service_id, was_claimed, claimed_at, created_at
    FROM backfill_rows
    WHERE NOT $1 AND id IN (SELECT id FROM backfill_changed)
    UNION ALL
    SELECT id, service_id, was_claimed, claimed_at, created_at
    FROM backfill_rows
    WHERE NOT $1 AND service_id IN (SELECT service_id FROM backfill_changed)
),
places AS (
    SELECT id, service_id, bool_or(was_claimed) AS was_claimed, max(claimed_at) AS claimed_at,
        max(created_at) AS created_at
    FROM near
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
