-- contraction::make_indexes
-- Where nothing kept two rows from one service: the later claim wins, the other is set aside.
WITH ranked AS (
    SELECT id,
        row_number() OVER (
            PARTITION BY service_id
            ORDER BY status IN ('claimed', 'crashed') DESC, claimed_at DESC NULLS LAST,
                created_at DESC, id DESC
        ) AS place
    FROM instances
),
lost AS (
    DELETE FROM instances
    USING ranked
    WHERE instances.id = ranked.id AND ranked.place > 1
    RETURNING instances.*
)
INSERT INTO set_aside (from_table, id, service_id, reason, "row")
SELECT 'instances', id, service_id, 'its service was claimed later by another row', to_jsonb(lost)
FROM lost
ON CONFLICT (from_table, id) DO UPDATE SET reason = excluded.reason, "row" = excluded."row"
