-- migrations::harness::naming_the_holder
-- Whose transaction has held a lock on one of our tables, or an earlier generation's, for longest.
SELECT format('%s (user %s, process %s of the database, %s, its transaction began %s)',
        coalesce(nullif(activity.application_name, ''), 'an unnamed program'),
        activity.usename,
        activity.pid,
        activity.state,
        date_trunc('second', activity.xact_start)) AS line
FROM pg_stat_activity AS activity
WHERE activity.datname = current_database()
    AND activity.pid <> pg_backend_pid()
    AND activity.xact_start IS NOT NULL
    AND EXISTS (
        SELECT FROM pg_locks AS locks
        JOIN pg_class ON pg_class.oid = locks.relation
        WHERE locks.pid = activity.pid
            AND locks.granted
            AND locks.locktype = 'relation'
            AND pg_class.relname IN ('instances', 'agent_metadata', 'pool_instances', 'provisions',
                'instance_events', 'service_fates', 'set_aside', 'pool_schema', 'leader_terms', 'ticks', 'commands')
    )
ORDER BY activity.xact_start
LIMIT 1
