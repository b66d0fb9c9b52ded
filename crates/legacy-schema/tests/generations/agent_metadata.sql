-- The second generation: claimed instances only.
CREATE TABLE agent_metadata (
    id text PRIMARY KEY,
    railway_service_id text NOT NULL,
    agent_name text NOT NULL,
    conversation_id text,
    invite_url text,
    instructions text,
    created_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz DEFAULT now()
);
{more}
INSERT INTO agent_metadata
    (id, railway_service_id, agent_name, conversation_id, invite_url, instructions, created_at,
     claimed_at)
VALUES
    ('m-whole', 's-whole', 'D''Artagnan', 'c1', 'https://i1', E'line\n"two" \\ \u20ac', '2025-05-01 12:00:00+05:30', '2025-05-02 00:00:00+00'),
    ('m-bare', 's-bare', '', NULL, NULL, NULL, '2025-05-01 00:00:00+00', NULL),
    ('m-dead', 's-gone', 'Deleted since', 'c3', NULL, NULL, '2025-05-01 00:00:00+00', '2025-05-03 00:00:00+00'),
    ('m-old', 's-twice', 'Old', NULL, NULL, NULL, '2025-05-01 00:00:00+00', '2025-05-01 00:00:00+00'),
    ('m-new', 's-twice', 'New', NULL, NULL, NULL, '2025-05-01 00:00:00+00', '2025-05-09 00:00:00+00');
