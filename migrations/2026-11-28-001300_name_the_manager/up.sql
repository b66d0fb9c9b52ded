-- Who manages, so that two managers on one environment do not take each other's services for theirs.
SET LOCAL lock_timeout = '400ms';

ALTER TABLE pool_schema ADD COLUMN manager_id text;

COMMENT ON COLUMN pool_schema.manager_id IS 'The random id that the services which we make bear as POOL_MANAGER_ID; null before the first server started.';

CREATE TABLE managers_taken_over (
    manager_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE managers_taken_over IS 'Managers whose services a person has said are ours.';
COMMENT ON COLUMN managers_taken_over.manager_id IS 'The POOL_MANAGER_ID of their services.';
COMMENT ON COLUMN managers_taken_over.at IS 'When. Whatever bears the id and was made later shows that the other manager is alive.';
