-- migrations::contract
-- In one transaction: the last look at the rows, and the trigger and the CHECK that guard them from
-- then on.
SET LOCAL lock_timeout = '5s';

-- Nobody writes between the last look and the trigger; readers go on.
LOCK TABLE instances IN SHARE ROW EXCLUSIVE MODE;

-- A status that this build does not have: claimed if anything says that it was claimed.
UPDATE instances
SET status = CASE
        WHEN agent_name IS NOT NULL OR conversation_id IS NOT NULL OR invite_url IS NOT NULL
            OR claimed_at IS NOT NULL
        THEN 'claimed'
        ELSE 'starting'
    END
WHERE status NOT IN ('starting', 'idle', 'claiming', 'claimed', 'crashed', 'dead');

-- From now on these columns tell the truth. A claim that a crash left behind gets an expiry of the
-- usual length, so that it ends.
UPDATE instances
SET status_changed_at = now(),
    claim_expires_at = CASE
        WHEN status = 'claiming' THEN coalesce(claim_expires_at, now() + interval '90 seconds')
    END;

ALTER TABLE instances ADD CONSTRAINT instances_status_check
    CHECK (status IN ('starting', 'idle', 'claiming', 'claimed', 'crashed', 'dead'));

CREATE TRIGGER instances_before_update BEFORE UPDATE ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_before_update();
CREATE TRIGGER instances_before_delete BEFORE DELETE ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_before_delete();
CREATE TRIGGER instances_after_insert AFTER INSERT ON instances
    FOR EACH ROW EXECUTE FUNCTION instances_after_insert();

UPDATE pool_schema SET contracted_at = now();
