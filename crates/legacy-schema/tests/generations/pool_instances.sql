-- The first generation, as dirty as in the field. {claimer} is the claim column's spelling; the
-- columns in double braces are there or not.
CREATE TABLE pool_instances (
    id text PRIMARY KEY,
    railway_service_id text NOT NULL,
    railway_url text,
    status text NOT NULL DEFAULT 'provisioning',
    {claimer} text,
    claimed_at timestamptz,
    invite_url text,
    conversation_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
{more}
INSERT INTO pool_instances
    (id, railway_service_id, railway_url, status, {claimer}, claimed_at, invite_url,
     conversation_id, created_at)
VALUES
    ('whole', 'p-whole', 'https://whole', 'claimed', 'O''Hara "the agent"; --',
        '2025-03-30 02:30:00+02', 'https://invite/whole', 'conv-whole', '2025-03-29 23:59:59.123456-08'),
    ('by name', 'p-name', NULL, 'idle', 'only a name', NULL, NULL, NULL, '2025-01-01 00:00:00+00'),
    ('by time', 'p-time', NULL, 'idle', NULL, '2025-01-02 00:00:00+00', NULL, NULL, '2025-01-01 00:00:00+00'),
    ('by conversation', 'p-conv', NULL, 'sleeping', '', NULL, NULL, 'c', '2025-01-01 00:00:00+00'),
    ('by invite', 'p-invite', NULL, 'tainted', NULL, NULL, 'https://i', NULL, '2025-01-01 00:00:00+00'),
    ('by status', 'p-status', NULL, 'claimed', NULL, NULL, NULL, NULL, '2025-01-01 00:00:00+00'),
    ('Größe/ü 🙂', 'p-any', NULL, 'claimed', '', NULL, '', '', '2025-01-01 00:00:00+00'),
    ('twice, earlier', 'p-twice', 'https://earlier', 'claimed', 'Early', '2025-02-01 00:00:00+00', NULL, NULL, '2025-01-01 00:00:00+00'),
    ('twice, later', 'p-twice', 'https://later', 'claimed', 'Late', '2025-02-02 00:00:00+00', NULL, NULL, '2025-01-01 00:00:00+00'),
    ('twice, never', 'p-twice', NULL, 'idle', NULL, NULL, NULL, NULL, '2025-06-01 00:00:00+00'),
    ('idle', 'p-idle', 'https://idle', 'idle', NULL, NULL, NULL, NULL, '2025-01-01 00:00:00+00'),
    ('provisioning', 'p-provisioning', NULL, 'provisioning', NULL, NULL, '', '', '2025-01-01 00:00:00+00'),
    ('unknown', 'p-unknown', NULL, 'pending_acceptance', '', NULL, NULL, NULL, '2025-01-01 00:00:00+00');
