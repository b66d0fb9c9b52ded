-- The record of what was made, or set out to be made, outside for one instance: from before the
-- first call outside until nothing is left outside.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE provisions (
    id text PRIMARY KEY,
    name text NOT NULL,
    service_id text,
    volume_id text,
    openrouter_key_hash text,
    agentmail_inbox_id text,
    gateway_token text,
    step text NOT NULL DEFAULT 'key',
    step_began_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_error text,
    destroyed text[] NOT NULL DEFAULT '{}',
    service_deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_provisions_service_id ON provisions (service_id) WHERE service_id IS NOT NULL;

COMMENT ON TABLE provisions IS 'What was made, or set out to be made, outside for one instance.';
COMMENT ON COLUMN provisions.id IS 'The instance. No foreign key: this row is older than the instance, and outlives it.';
COMMENT ON COLUMN provisions.name IS 'The name of its service, OpenRouter key and AgentMail inbox.';
COMMENT ON COLUMN provisions.service_id IS 'Its service, once Railway answered.';
COMMENT ON COLUMN provisions.volume_id IS 'Its volume, once Railway answered.';
COMMENT ON COLUMN provisions.openrouter_key_hash IS 'Its OpenRouter key, once OpenRouter answered.';
COMMENT ON COLUMN provisions.agentmail_inbox_id IS 'Its AgentMail inbox, once AgentMail answered.';
COMMENT ON COLUMN provisions.gateway_token IS 'The token of its gateway, drawn with the intent. Secret.';
COMMENT ON COLUMN provisions.step IS 'The step to take next, or begun and its answer not yet recorded: key, inbox, service, row, volume, domain, commit; then created; at last destroying.';
COMMENT ON COLUMN provisions.step_began_at IS 'When that step was last begun: what was asked for then may show only later.';
COMMENT ON COLUMN provisions.attempts IS 'How often that step failed in a row.';
COMMENT ON COLUMN provisions.next_attempt_at IS 'Not before then is the step tried, or tried again. Null while a creation''s step was begun and has no answer yet.';
COMMENT ON COLUMN provisions.last_error IS 'Why it failed last.';
COMMENT ON COLUMN provisions.destroyed IS 'The steps of its destruction that are done: key, inbox, volumes, service.';
COMMENT ON COLUMN provisions.service_deleted_at IS 'When Railway accepted the deletion of its service. The row goes when a complete listing begun after that lacks it.';
COMMENT ON COLUMN provisions.created_at IS 'When the intent was written.';
