-- One row that says where this schema came from and how far it is. Later migrations, and their way
-- back, ask it whether a table was ours or was there before us.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE pool_schema (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    found text[] NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    contracted_at timestamptz
);

COMMENT ON TABLE pool_schema IS 'Where this schema came from and how far it is; one row.';
COMMENT ON COLUMN pool_schema.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN pool_schema.found IS 'The tables of earlier generations that were there before the first migration ran.';
COMMENT ON COLUMN pool_schema.found_at IS 'When the first migration ran.';
COMMENT ON COLUMN pool_schema.contracted_at IS 'When the transition trigger was installed. Until then the Node service may run beside us and claims are refused; from then on it must be stopped.';

INSERT INTO pool_schema (found)
SELECT coalesce(array_agg(name::text ORDER BY name), '{}')
FROM unnest(ARRAY['agent_metadata', 'instances', 'pool_instances']) AS legacy (name)
WHERE to_regclass(name) IS NOT NULL;
