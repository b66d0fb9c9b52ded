-- claims::idempotency::look
-- $1 the key. What became of its claim: its own row, and the instance that its token is on.
SELECT request.fingerprint,
    request.outcome,
    request.joined,
    request.invited,
    request.instance_id,
    instances.status,
    instances.delete_requested_at IS NOT NULL AS is_ending,
    (extract(epoch FROM instances.claim_expires_at - now()) * 1000)::bigint AS lease_left_ms,
    instances.conversation_id,
    instances.invite_url,
    instances.url,
    instances.gateway_token
FROM claim_requests AS request
LEFT JOIN instances ON instances.claim_token = request.claim_token
WHERE request.key = $1 AND request.expires_at >= now()
