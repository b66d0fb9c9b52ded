-- What became of the claims that their callers may repeat (Idempotency-Key), for all servers alike.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE claim_requests (
    key text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    claim_token uuid NOT NULL,
    instance_id text NOT NULL,
    outcome text CHECK (outcome IN ('claimed', 'failed', 'timed out')),
    joined boolean,
    invited boolean,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- What decides a lease finds its request by the token.
CREATE UNIQUE INDEX idx_claim_requests_claim_token ON claim_requests (claim_token);
CREATE INDEX idx_claim_requests_expires_at ON claim_requests (expires_at);

COMMENT ON TABLE claim_requests IS 'One row for each Idempotency-Key that has an instance, or had one with an outcome that nobody knows. Written in the transaction of the lease, and of what decides it; gone when the lease surely failed.';
COMMENT ON COLUMN claim_requests.key IS 'The key, without quotes.';
COMMENT ON COLUMN claim_requests.fingerprint IS 'SHA-256 over the body: the same key with another body is refused.';
COMMENT ON COLUMN claim_requests.claim_token IS 'The lease taken for it, by which its instance is found. No foreign key: the instance may go first.';
COMMENT ON COLUMN claim_requests.instance_id IS 'That instance.';
COMMENT ON COLUMN claim_requests.outcome IS 'claimed; failed or timed out where nobody can know whether the agent was provisioned. Null while the lease runs; null without a lease means failed: its server is gone.';
COMMENT ON COLUMN claim_requests.joined IS 'Whether the agent joined an existing conversation: of its answer what the instance does not hold.';
COMMENT ON COLUMN claim_requests.invited IS 'Whether the invite link of the instance is the agent''s own answer, and not the caller''s join link.';
COMMENT ON COLUMN claim_requests.requested_at IS 'When its lease was taken.';
COMMENT ON COLUMN claim_requests.expires_at IS 'Until when it is kept: 24 hours from the end of its lease.';
