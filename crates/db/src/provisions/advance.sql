-- provisions::advance
-- $1 the id, $2 the next step, then what was made: $3 key, $4 inbox, $5 service, $6 volume.
UPDATE provisions
SET step = CASE WHEN step = 'destroying' THEN step ELSE $2 END,
    step_began_at = now(),
    -- A key that is made anew for a later step does not make that step succeed.
    attempts = CASE WHEN step = $2 THEN attempts ELSE 0 END,
    -- Due, and surely not begun: whoever goes on need not wait for a listing to show it.
    next_attempt_at = CASE WHEN $2 <> 'created' AND step <> 'destroying' THEN now() END,
    last_error = CASE WHEN step = $2 THEN last_error END,
    openrouter_key_hash = coalesce($3, openrouter_key_hash),
    agentmail_inbox_id = coalesce($4, agentmail_inbox_id),
    service_id = coalesce($5, service_id),
    volume_id = coalesce($6, volume_id)
WHERE id = $1
