-- backfill::copy
-- The places after $1 up to $2. One statement, so a batch is done or not done.
WITH verdicts AS MATERIALIZED (
    SELECT * FROM backfill_verdicts WHERE place > $1 AND place <= $2
),
-- The later generation first; the earlier one fills what it lacks.
known AS MATERIALIZED (
    SELECT
        verdicts.id,
        verdicts.service_id,
        verdicts.is_there,
        coalesce(later.url, earlier.url) AS url,
        coalesce(later.agent_name, earlier.agent_name) AS agent_name,
        coalesce(later.conversation_id, earlier.conversation_id) AS conversation_id,
        coalesce(later.invite_url, earlier.invite_url) AS invite_url,
        coalesce(later.instructions, earlier.instructions) AS instructions,
        coalesce(later.created_at, earlier.created_at) AS created_at,
        coalesce(later.claimed_at, earlier.claimed_at) AS claimed_at,
        coalesce(later.source_branch, earlier.source_branch) AS source_branch,
        coalesce(later.openrouter_key_hash, earlier.openrouter_key_hash) AS openrouter_key_hash,
        coalesce(later.agentmail_inbox_id, earlier.agentmail_inbox_id) AS agentmail_inbox_id
    FROM verdicts
    LEFT JOIN backfill_rows AS later
        ON later.from_table = 'agent_metadata'
            AND later.id = verdicts.id AND later.service_id = verdicts.service_id
    LEFT JOIN backfill_rows AS earlier
        ON earlier.from_table = 'pool_instances'
            AND earlier.id = verdicts.id AND earlier.service_id = verdicts.service_id
    WHERE verdicts.reason IS NULL
        -- It may have been deleted since the queue was made.
        AND (later.id IS NOT NULL OR earlier.id IS NOT NULL)
),
inserted AS (
    INSERT INTO instances (id, service_id, name, url, status, agent_name, conversation_id,
        invite_url, instructions, created_at, claimed_at, source_branch, openrouter_key_hash,
        agentmail_inbox_id, status_actor, status_reason)
    SELECT id, service_id, 'convos-agent-' || id, url, 'claimed', agent_name, conversation_id,
        invite_url, instructions, created_at, claimed_at, source_branch, openrouter_key_hash,
        agentmail_inbox_id, 'backfill', 'taken over'
    FROM known
    WHERE NOT is_there
    ON CONFLICT DO NOTHING
    RETURNING id
),
-- Of two rows for what is there already: our own copy is brought up to date; what another program
-- wrote only gets what it lacks.
wanted AS MATERIALIZED (
    SELECT instances.id,
        merged.*
    FROM known
    JOIN instances USING (id)
    CROSS JOIN LATERAL (SELECT instances.status_actor IS NOT DISTINCT FROM 'backfill' AS ours) AS copy
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN ours THEN coalesce(known.url, instances.url) ELSE coalesce(instances.url, known.url) END AS url,
            CASE WHEN ours THEN coalesce(known.agent_name, instances.agent_name) ELSE coalesce(instances.agent_name, known.agent_name) END AS agent_name,
            CASE WHEN ours THEN coalesce(known.conversation_id, instances.conversation_id) ELSE coalesce(instances.conversation_id, known.conversation_id) END AS conversation_id,
            CASE WHEN ours THEN coalesce(known.invite_url, instances.invite_url) ELSE coalesce(instances.invite_url, known.invite_url) END AS invite_url,
            CASE WHEN ours THEN coalesce(known.instructions, instances.instructions) ELSE coalesce(instances.instructions, known.instructions) END AS instructions,
            CASE WHEN ours THEN coalesce(known.source_branch, instances.source_branch) ELSE coalesce(instances.source_branch, known.source_branch) END AS source_branch,
            CASE WHEN ours THEN coalesce(known.openrouter_key_hash, instances.openrouter_key_hash) ELSE coalesce(instances.openrouter_key_hash, known.openrouter_key_hash) END AS openrouter_key_hash,
            CASE WHEN ours THEN coalesce(known.agentmail_inbox_id, instances.agentmail_inbox_id) ELSE coalesce(instances.agentmail_inbox_id, known.agentmail_inbox_id) END AS agentmail_inbox_id,
            coalesce(instances.claimed_at, known.claimed_at) AS claimed_at
    ) AS merged
    WHERE known.is_there
        AND (instances.url, instances.agent_name, instances.conversation_id, instances.invite_url,
                instances.instructions, instances.source_branch, instances.openrouter_key_hash,
                instances.agentmail_inbox_id, instances.claimed_at)
            IS DISTINCT FROM
            (merged.url, merged.agent_name, merged.conversation_id, merged.invite_url,
                merged.instructions, merged.source_branch, merged.openrouter_key_hash,
                merged.agentmail_inbox_id, merged.claimed_at)
    ORDER BY instances.id
),
filled AS (
    UPDATE instances
    SET url = wanted.url,
        agent_name = wanted.agent_name,
        conversation_id = wanted.conversation_id,
        invite_url = wanted.invite_url,
        instructions = wanted.instructions,
        source_branch = wanted.source_branch,
        openrouter_key_hash = wanted.openrouter_key_hash,
        agentmail_inbox_id = wanted.agentmail_inbox_id,
        claimed_at = wanted.claimed_at
    FROM wanted
    WHERE instances.id = wanted.id
    RETURNING instances.id
),
aside AS (
    INSERT INTO set_aside (from_table, id, service_id, reason, "row")
    SELECT legacy.from_table, legacy.id, legacy.service_id, verdicts.reason, legacy."row"
    FROM verdicts
    JOIN backfill_rows AS legacy
        ON legacy.id = verdicts.id AND legacy.service_id = verdicts.service_id
    WHERE verdicts.reason IS NOT NULL
    ON CONFLICT (from_table, id) DO UPDATE
    SET service_id = excluded.service_id, reason = excluded.reason, "row" = excluded."row"
    WHERE (set_aside.service_id, set_aside.reason, set_aside."row")
        IS DISTINCT FROM (excluded.service_id, excluded.reason, excluded."row")
    RETURNING id
),
-- What was set aside by an earlier run and is claimed by now.
back AS (
    DELETE FROM set_aside
    USING verdicts
    WHERE verdicts.reason IS NULL
        AND set_aside.id = verdicts.id
        AND set_aside.service_id = verdicts.service_id
        AND set_aside.from_table IN ('agent_metadata', 'pool_instances')
    RETURNING set_aside.id
)
SELECT
    (SELECT count(*) FROM inserted) AS taken,
    (SELECT count(*) FROM filled) AS filled,
    (SELECT count(*) FROM aside) AS aside
