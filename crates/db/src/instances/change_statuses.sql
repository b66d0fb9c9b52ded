-- instances::change_statuses
-- $1 ids, $2 the statuses and $3 the epochs that the changes were decided from, $4 the new
-- statuses, $5 the reasons, $6 conversations and $7 invites where the agent named one, $8 the actor,
-- $9 whether the fuse counts it.
WITH asked AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
            $7::text[], $9::boolean[])
        AS asked (id, from_status, epoch, to_status, reason, conversation_id, invite_url, is_loss)
),
-- In one order, so that two who change the same rows never wait for each other.
unmoved AS MATERIALIZED (
    SELECT instances.id
    FROM instances
    JOIN asked USING (id)
    WHERE instances.status = asked.from_status AND instances.epoch = asked.epoch
    ORDER BY instances.id
    FOR UPDATE OF instances
),
changed AS (
    UPDATE instances
    SET status = asked.to_status,
        status_actor = $8,
        status_reason = asked.reason,
        -- One that may be somebody's is given up as such.
        unasked = instances.unasked AND asked.to_status = 'crashed',
        -- Whoever proves itself ready is forgiven the claims that failed on it.
        failed_claims = CASE
            WHEN asked.to_status = 'idle' THEN 0
            ELSE instances.failed_claims
        END,
        conversation_id = coalesce(asked.conversation_id, instances.conversation_id),
        invite_url = coalesce(asked.invite_url, instances.invite_url),
        claimed_at = CASE
            WHEN asked.to_status = 'claimed' THEN coalesce(instances.claimed_at, now())
            ELSE instances.claimed_at
        END
    FROM unmoved
    JOIN asked USING (id)
    WHERE instances.id = unmoved.id
    RETURNING instances.id
),
-- In the same statement: a loss that was carried out is counted, whenever the leader dies.
counted AS (
    INSERT INTO fuse_losses (instance_id)
    SELECT id
    FROM changed
    JOIN asked USING (id)
    WHERE asked.is_loss
    ON CONFLICT (instance_id) DO UPDATE SET at = now()
)
SELECT id FROM changed
