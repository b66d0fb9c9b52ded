-- Rows of earlier generations that were not taken over, whole.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE set_aside (
    from_table text NOT NULL,
    id text NOT NULL,
    service_id text,
    reason text NOT NULL,
    "row" jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (from_table, id)
);

CREATE INDEX idx_set_aside_id ON set_aside (id);
CREATE INDEX idx_set_aside_service_id ON set_aside (service_id) WHERE service_id IS NOT NULL;

COMMENT ON TABLE set_aside IS 'Rows of earlier generations that were not taken over, whole.';
COMMENT ON COLUMN set_aside.from_table IS 'The table it was in.';
COMMENT ON COLUMN set_aside.id IS 'Its id there.';
COMMENT ON COLUMN set_aside.service_id IS 'Its service on Railway.';
COMMENT ON COLUMN set_aside.reason IS 'Why it was not taken over.';
COMMENT ON COLUMN set_aside."row" IS 'All of it.';
COMMENT ON COLUMN set_aside.at IS 'When it was set aside.';
