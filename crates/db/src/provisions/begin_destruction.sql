-- provisions::begin_destruction
-- $1 the id, $2 the name, $3 service, $4 volume, $5 key, $6 inbox. What is recorded stays; what was
-- not is filled in; and nothing is written when nothing changes.
INSERT INTO provisions AS recorded
    (id, name, service_id, volume_id, openrouter_key_hash, agentmail_inbox_id, step)
VALUES ($1, $2, $3, $4, $5, $6, 'destroying')
ON CONFLICT (id) DO UPDATE
SET step = 'destroying',
    step_began_at = CASE
        WHEN recorded.step = 'destroying' THEN recorded.step_began_at
        ELSE now()
    END,
    attempts = CASE WHEN recorded.step = 'destroying' THEN recorded.attempts ELSE 0 END,
    next_attempt_at = CASE WHEN recorded.step = 'destroying' THEN recorded.next_attempt_at END,
    last_error = CASE WHEN recorded.step = 'destroying' THEN recorded.last_error END,
    service_id = coalesce(recorded.service_id, excluded.service_id),
    volume_id = coalesce(recorded.volume_id, excluded.volume_id),
    openrouter_key_hash = coalesce(recorded.openrouter_key_hash, excluded.openrouter_key_hash),
    agentmail_inbox_id = coalesce(recorded.agentmail_inbox_id, excluded.agentmail_inbox_id)
WHERE recorded.step <> 'destroying'
    OR (recorded.service_id IS NULL AND excluded.service_id IS NOT NULL)
    OR (recorded.volume_id IS NULL AND excluded.volume_id IS NOT NULL)
    OR (recorded.openrouter_key_hash IS NULL AND excluded.openrouter_key_hash IS NOT NULL)
    OR (recorded.agentmail_inbox_id IS NULL AND excluded.agentmail_inbox_id IS NOT NULL)
