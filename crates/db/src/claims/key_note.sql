-- claims::keyed::lease
-- $1 the key, $2 the body's fingerprint, $3 the token, $4 the instance, $5 for how long to keep it in
-- milliseconds, $6 the token of the lease that the same claim took before, if any.
INSERT INTO claim_requests (key, fingerprint, claim_token, instance_id, expires_at)
VALUES ($1, $2, $3, $4, now() + $5 * interval '1 millisecond')
-- A claim may go on to another instance, and ask twice for one lease; a key that ran out is anybody's.
-- Otherwise nothing is written, and the lease is taken back.
ON CONFLICT (key) DO UPDATE
SET fingerprint = excluded.fingerprint,
    claim_token = excluded.claim_token,
    instance_id = excluded.instance_id,
    outcome = NULL,
    joined = NULL,
    invited = NULL,
    requested_at = excluded.requested_at,
    expires_at = excluded.expires_at
WHERE claim_requests.claim_token IN ($3, $6) OR claim_requests.expires_at < now()
