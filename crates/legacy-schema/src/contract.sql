-- contraction::contract
-- The end of the transaction that copied the last batch: the rules for rows, and the trigger and the
-- CHECK that guard them from then on. Everything here takes milliseconds whatever the number of
-- rows, because nobody can read or claim an instance meanwhile.
LOCK TABLE instances IN ACCESS EXCLUSIVE MODE;

-- A status that this build does not have: claimed if anything says that it was claimed. The first
-- two conditions are those of the index.
UPDATE instances
SET status = CASE
        WHEN agent_name <> '' OR conversation_id <> '' OR invite_url <> ''
            OR claimed_at IS NOT NULL
        THEN 'claimed'
        ELSE 'starting'
    END,
    claimed_at = CASE
        WHEN agent_name <> '' OR conversation_id <> '' OR invite_url <> ''
            OR claimed_at IS NOT NULL
        THEN coalesce(claimed_at, created_at)
    END
WHERE status <> 'idle'
    AND status <> 'claimed'
    AND status NOT IN ('starting', 'idle', 'claiming', 'claimed', 'crashed', 'dead');

-- A claim that a crash left behind gets an expiry of the usual length, so that it ends.
UPDATE instances
SET claim_expires_at = coalesce(claim_expires_at, now() + interval '90 seconds')
WHERE status = 'claiming';

-- From now on this column tells the truth, and so far it told nothing. What is starting is given all its
-- time again; those are few. For the others it only has to be no later than the truth: their services are
-- no news to a listing.
UPDATE instances SET status_changed_at = now() WHERE status <> 'idle' AND status = 'starting';

-- Indexes that were built beside the work take the place of those of an earlier generation.
DO $$
DECLARE
    made record;
    other record;
BEGIN
    FOR made IN
        SELECT relname AS name, left(relname, -length('_made')) AS takes_the_place_of
        FROM pg_class
        WHERE relkind = 'i' AND relname LIKE 'idx\_instances\_%\_made'
            AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'instances'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE instances DROP CONSTRAINT IF EXISTS %I', made.takes_the_place_of);
        EXECUTE format('DROP INDEX IF EXISTS %I', made.takes_the_place_of);
        EXECUTE format('ALTER INDEX %I RENAME TO %I', made.name, made.takes_the_place_of);
    END LOOP;
    -- One index that keeps services apart is enough.
    FOR other IN
        SELECT conname AS name FROM pg_constraint
        WHERE conrelid = 'instances'::regclass AND contype = 'u'
            AND pg_get_constraintdef(oid) = 'UNIQUE (service_id)'
    LOOP
        EXECUTE format('ALTER TABLE instances DROP CONSTRAINT %I', other.name);
    END LOOP;
END $$;

-- Looked through afterwards, beside the work that goes on.
ALTER TABLE instances ADD CONSTRAINT instances_status_check
    CHECK (status IN ('starting', 'idle', 'claiming', 'claimed', 'crashed', 'dead')) NOT VALID;

CREATE TRIGGER instances_before_update BEFORE UPDATE ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_before_update();
CREATE TRIGGER instances_before_delete BEFORE DELETE ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_before_delete();
CREATE TRIGGER instances_after_insert AFTER INSERT ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_after_insert();

UPDATE pool_schema SET contracted_at = now();
