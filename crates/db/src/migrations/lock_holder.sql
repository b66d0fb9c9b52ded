-- migrations::harness::holder
-- Who holds the advisory lock $1, in words. PostgreSQL shows a 64-bit key in two halves.
SELECT format('%s (process %s of the database, since %s)',
        coalesce(nullif(activity.application_name, ''), 'an unnamed program'),
        activity.pid,
        date_trunc('second', activity.backend_start)) AS line
FROM pg_locks AS locks
JOIN pg_stat_activity AS activity USING (pid)
WHERE locks.locktype = 'advisory'
    AND locks.granted
    AND locks.objsubid = 1
    AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (locks.classid::bigint << 32) | locks.objid::bigint = $1
LIMIT 1
