-- instances::put_last
-- $1 ids, $2 the epochs that it was decided from, $3 for how long in milliseconds.
WITH last AS MATERIALIZED (
    SELECT instances.id
    FROM instances
    JOIN unnest($1::text[], $2::bigint[]) AS asked (id, epoch) USING (id)
    WHERE instances.epoch = asked.epoch
        AND instances.status = 'idle'
        -- Those that are last already are written again when half of that time is over.
        AND coalesce(put_back_at, created_at) < now() + $3 / 2 * interval '1 millisecond'
    ORDER BY instances.id
    FOR UPDATE OF instances
)
UPDATE instances
SET put_back_at = now() + $3 * interval '1 millisecond'
FROM last
WHERE instances.id = last.id
