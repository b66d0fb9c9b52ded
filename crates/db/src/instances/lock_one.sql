-- instances::people::lock
-- $1 the id. Nobody else changes the row until the transaction ends.
SELECT status, delete_requested_at IS NOT NULL AS delete_requested, unasked, claim_expires_at,
    now() AS now
FROM instances
WHERE id = $1
FOR UPDATE
