-- The third generation, with indexes as its service made them.
CREATE TABLE instances (
    id text PRIMARY KEY,
    service_id text NOT NULL UNIQUE,
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
    gateway_token text
);
{more}
CREATE INDEX idx_instances_service_id ON instances (service_id);
CREATE INDEX idx_instances_status ON instances (status);
INSERT INTO instances (id, service_id, name, url, status, agent_name, conversation_id, claimed_at, gateway_token)
VALUES
    ('m-whole', 's-whole', 'convos-agent-m-whole', 'https://kept', 'claimed', 'D''Artagnan', NULL, '2025-05-02 00:00:00+00', 'secret'),
    ('m-bare', 's-bare', 'convos-agent-m-bare', NULL, 'crashed', NULL, NULL, NULL, NULL),
    ('i-idle', 's-idle', 'convos-agent-i-idle', 'https://idle', 'idle', NULL, NULL, NULL, NULL),
    ('i-starting', 's-starting', 'convos-agent-i-starting', NULL, 'starting', NULL, NULL, NULL, NULL),
    ('i-claiming', 's-claiming', 'convos-agent-i-claiming', 'https://c', 'claiming', 'Half', NULL, NULL, NULL),
    ('i-sleeping', 's-sleeping', 'convos-agent-i-sleeping', NULL, 'sleeping', 'Asleep', 'c9', NULL, NULL),
    ('i-tainted', 's-tainted', 'convos-agent-i-tainted', NULL, 'tainted', NULL, '', NULL, NULL),
    ('i-dead', 's-dead', 'convos-agent-i-dead', NULL, 'dead', NULL, NULL, NULL, NULL);
