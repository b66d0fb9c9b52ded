-- What was ever recorded as an instance's, kept for a while after the record itself is gone: what
-- shows up outside only then is known by it, and swept.
SET LOCAL lock_timeout = '400ms';

CREATE TABLE belongings (
    kind text NOT NULL,
    outside_id text NOT NULL,
    instance_id text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz,
    PRIMARY KEY (kind, outside_id)
);

CREATE INDEX idx_belongings_instance_id ON belongings (instance_id);
CREATE INDEX idx_belongings_released_at ON belongings (released_at) WHERE released_at IS NOT NULL;

COMMENT ON TABLE belongings IS 'What was ever recorded as an instance''s, outside: the proof by which the sweep knows what is ours.';
COMMENT ON COLUMN belongings.kind IS 'name, service, volume, key or inbox. A name is that of an intent: its service, key and inbox bear it, whether or not an answer ever told their ids.';
COMMENT ON COLUMN belongings.outside_id IS 'The id outside; of a name the name.';
COMMENT ON COLUMN belongings.instance_id IS 'The instance that it was recorded for. No foreign key: this outlives it.';
COMMENT ON COLUMN belongings.recorded_at IS 'When it was first recorded.';
COMMENT ON COLUMN belongings.released_at IS 'When the instance''s provision went, since nothing was left outside as far as anybody saw; null while it is there.';

-- Every id that is written to a provision stays known, also one that another replaces later.
CREATE FUNCTION provisions_remember() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO belongings (kind, outside_id, instance_id)
    SELECT made.kind, made.outside_id, NEW.id
    FROM (VALUES
        ('name', NEW.name),
        ('service', NEW.service_id),
        ('volume', NEW.volume_id),
        ('key', NEW.openrouter_key_hash),
        ('inbox', NEW.agentmail_inbox_id)
    ) AS made (kind, outside_id)
    WHERE made.outside_id IS NOT NULL
    ON CONFLICT (kind, outside_id) DO UPDATE
    SET instance_id = excluded.instance_id, released_at = NULL
    WHERE belongings.instance_id <> excluded.instance_id OR belongings.released_at IS NOT NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION provisions_release() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE belongings SET released_at = now() WHERE instance_id = OLD.id AND released_at IS NULL;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION provisions_remember() IS 'Writes the ids of a provision to belongings.';
COMMENT ON FUNCTION provisions_release() IS 'Dates the end of a provision in belongings.';

CREATE TRIGGER remember_new AFTER INSERT ON provisions
    FOR EACH ROW EXECUTE FUNCTION provisions_remember();
CREATE TRIGGER remember_made AFTER UPDATE ON provisions
    FOR EACH ROW
    WHEN ((OLD.name, OLD.service_id, OLD.volume_id, OLD.openrouter_key_hash, OLD.agentmail_inbox_id)
        IS DISTINCT FROM
        (NEW.name, NEW.service_id, NEW.volume_id, NEW.openrouter_key_hash, NEW.agentmail_inbox_id))
    EXECUTE FUNCTION provisions_remember();
CREATE TRIGGER release_gone AFTER DELETE ON provisions
    FOR EACH ROW EXECUTE FUNCTION provisions_release();

-- What is recorded by now. An update that changes nothing fires nothing, so it is written here.
INSERT INTO belongings (kind, outside_id, instance_id)
SELECT made.kind, made.outside_id, provisions.id
FROM provisions
CROSS JOIN LATERAL (VALUES
    ('name', provisions.name),
    ('service', provisions.service_id),
    ('volume', provisions.volume_id),
    ('key', provisions.openrouter_key_hash),
    ('inbox', provisions.agentmail_inbox_id)
) AS made (kind, outside_id)
WHERE made.outside_id IS NOT NULL
ON CONFLICT (kind, outside_id) DO NOTHING;

COMMENT ON COLUMN commands.kind IS 'reconcile, replenish, confirm_fuse or sweep.';
COMMENT ON COLUMN commands.arguments IS 'replenish: count, null for a plain tick; confirm_fuse: ids; sweep: dryRun.';
