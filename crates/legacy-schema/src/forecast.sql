-- backfill::forecast
-- What is set aside already, for the same reason, is not counted again.
SELECT verdict, reason, count(*) AS rows
FROM (
    SELECT
        CASE
            WHEN verdicts.reason IS NOT NULL THEN 'set aside'
            WHEN verdicts.is_there THEN 'there'
            ELSE 'take'
        END AS verdict,
        verdicts.reason
    FROM backfill_verdicts AS verdicts
    WHERE verdicts.reason IS NULL
    UNION ALL
    SELECT 'set aside', verdicts.reason
    FROM backfill_verdicts AS verdicts
    JOIN backfill_rows AS legacy
        ON legacy.id = verdicts.id AND legacy.service_id = verdicts.service_id
    WHERE verdicts.reason IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM backfill_aside AS aside
            WHERE aside.from_table = legacy.from_table
                AND aside.id = legacy.id
                AND aside.reason = verdicts.reason
        )
) AS forecast
GROUP BY verdict, reason
ORDER BY verdict DESC, reason
