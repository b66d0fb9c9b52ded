-- The source of truth: one row per instance. A table that an earlier generation made is kept and
-- gains what it lacks; nothing of it is renamed or dropped, so that the Node service may still run.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE IF NOT EXISTS instances (
    id text PRIMARY KEY,
    service_id text NOT NULL,
    name text NOT NULL,
    url text,
    status text NOT NULL DEFAULT 'starting',
    deploy_status text,
    agent_name text,
    conversation_id text,
    invite_url text,
    instructions text,
    created_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz,
    source_branch text,
    openrouter_key_hash text,
    agentmail_inbox_id text,
    gateway_token text,
    runtime_image text
);

ALTER TABLE instances
    ADD COLUMN IF NOT EXISTS gateway_token text,
    ADD COLUMN IF NOT EXISTS runtime_image text,
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN status_changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN status_actor text,
    ADD COLUMN status_reason text,
    ADD COLUMN claim_token uuid,
    ADD COLUMN claim_expires_at timestamptz,
    ADD COLUMN failed_claims smallint NOT NULL DEFAULT 0,
    ADD COLUMN missing_since timestamptz,
    ADD COLUMN delete_requested_at timestamptz,
    ADD COLUMN unasked boolean NOT NULL DEFAULT false;

-- A claim walks the left end of its index. Every lease leaves a dead entry there, so the table is
-- vacuumed after 1 % of it changed and not after the default 20 %.
ALTER TABLE instances SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.01
);

-- A table that was there keeps its own indexes: replacing them takes time, and what writes to it
-- would wait. Contraction builds ours beside the work that goes on.
DO $$
BEGIN
    IF 'instances' = ANY ((SELECT pool_schema.found FROM pool_schema)::text[]) THEN
        RETURN;
    END IF;
    CREATE UNIQUE INDEX idx_instances_service_id ON instances (service_id);
    -- Both are partial, so that whatever the statistics say, a claim has only one index to choose.
    CREATE INDEX idx_instances_status ON instances (status) WHERE status <> 'idle';
    CREATE INDEX idx_instances_idle ON instances (created_at, id) WHERE status = 'idle';
    -- By which a repeated ask finds its lease, and by which one token can never hold two instances.
    CREATE UNIQUE INDEX idx_instances_claim_token ON instances (claim_token)
        WHERE claim_token IS NOT NULL;
END $$;

COMMENT ON TABLE instances IS 'One agent, one Railway service, one row. Other services read the first seventeen columns.';
COMMENT ON COLUMN instances.id IS 'A 12-character nanoid; older ones are any text.';
COMMENT ON COLUMN instances.service_id IS 'The service on Railway.';
COMMENT ON COLUMN instances.name IS 'The name of that service.';
COMMENT ON COLUMN instances.url IS 'Where its agent answers. A known one is never replaced by none.';
COMMENT ON COLUMN instances.status IS 'starting, idle, claiming, claimed, crashed or dead.';
COMMENT ON COLUMN instances.deploy_status IS 'What Railway last said of its latest deployment.';
COMMENT ON COLUMN instances.agent_name IS 'The name that its claimer gave it. Does not say whether it is claimed: the status does.';
COMMENT ON COLUMN instances.conversation_id IS 'The conversation it is in.';
COMMENT ON COLUMN instances.invite_url IS 'How others join that conversation.';
COMMENT ON COLUMN instances.instructions IS 'What its claimer told it to be.';
COMMENT ON COLUMN instances.created_at IS 'When the row, or the service before it, was made. The oldest idle one is claimed first.';
COMMENT ON COLUMN instances.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN instances.source_branch IS 'The branch that the server which claimed it was built from.';
COMMENT ON COLUMN instances.openrouter_key_hash IS 'Its OpenRouter key, by which the key is deleted.';
COMMENT ON COLUMN instances.agentmail_inbox_id IS 'Its AgentMail inbox.';
COMMENT ON COLUMN instances.gateway_token IS 'The token of its gateway, which its claimer is given. Secret.';
COMMENT ON COLUMN instances.runtime_image IS 'The image it runs.';
COMMENT ON COLUMN instances.epoch IS 'Counts the changes of status and of delete_requested_at. A write that was decided from an older one changes nothing.';
COMMENT ON COLUMN instances.status_changed_at IS 'Since when it has its status; set by the trigger.';
COMMENT ON COLUMN instances.status_actor IS 'Who changed the status last; the trigger copies it to the event.';
COMMENT ON COLUMN instances.status_reason IS 'Why; the trigger copies it to the event.';
COMMENT ON COLUMN instances.claim_token IS 'Names the lease. Kept when the claim succeeded, so that a repeated confirmation is recognised.';
COMMENT ON COLUMN instances.claim_expires_at IS 'When the lease runs out; then the instance is given up, and never handed to anybody else.';
COMMENT ON COLUMN instances.failed_claims IS 'Claims that surely failed on it, in a row.';
COMMENT ON COLUMN instances.missing_since IS 'Start of the first complete listing that lacked its service; cleared when it is seen.';
COMMENT ON COLUMN instances.delete_requested_at IS 'When a person asked for the destruction of a claimed or crashed one. It is then in no list and no count.';
COMMENT ON COLUMN instances.unasked IS 'Adopted, and its agent was not yet asked whether it holds a conversation. Such a one is never idle.';
