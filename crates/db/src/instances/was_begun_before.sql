-- instances::insert::was_begun_before
-- $1 the id. What was begun before the records were doubted may have been finished since, and claimed.
SELECT provisions.created_at < record_identity.verified_at AS is_unverified
FROM provisions
CROSS JOIN record_identity
WHERE provisions.id = $1
