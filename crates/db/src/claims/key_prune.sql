-- claims::idempotency::prune
-- $1 how many go at most.
DELETE FROM claim_requests
WHERE key IN (
    SELECT key
    FROM claim_requests
    WHERE expires_at < now()
    ORDER BY expires_at
    LIMIT $1
    -- Every server does this; none waits for another, nor for a claim that takes the key anew.
    FOR UPDATE SKIP LOCKED
)
