-- claims::next_idle
-- $1 ids that are not wanted, $2 how many at most. In the order in which they are leased.
SELECT id, url
FROM instances
WHERE status = 'idle' AND url IS NOT NULL AND id <> ALL ($1)
ORDER BY coalesce(put_back_at, created_at), id
LIMIT $2
