-- instances::refresh
-- $1 ids, $2 the epochs that it was decided from, then the new values of the observed columns.
WITH asked AS (
    SELECT *
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::boolean[])
        AS asked (id, epoch, name, url, deploy_status, runtime_image, gateway_token,
            agentmail_inbox_id, claimed_at, missing_since, unasked)
),
-- Only rows that differ are locked and written, in one order. A row in claiming is left to its
-- claimer. A known url is never replaced by none.
differing AS MATERIALIZED (
    SELECT instances.id
    FROM instances
    JOIN asked USING (id)
    WHERE instances.epoch = asked.epoch
        AND instances.status <> 'claiming'
        AND (instances.name, instances.url, instances.deploy_status, instances.runtime_image,
                instances.gateway_token, instances.agentmail_inbox_id, instances.claimed_at,
                instances.missing_since, instances.unasked)
            IS DISTINCT FROM
            (asked.name, coalesce(asked.url, instances.url), asked.deploy_status,
                asked.runtime_image, asked.gateway_token, asked.agentmail_inbox_id,
                asked.claimed_at, asked.missing_since, asked.unasked)
    ORDER BY instances.id
    FOR UPDATE OF instances
)
UPDATE instances
SET name = asked.name,
    url = coalesce(asked.url, instances.url),
    deploy_status = asked.deploy_status,
    runtime_image = asked.runtime_image,
    gateway_token = asked.gateway_token,
    agentmail_inbox_id = asked.agentmail_inbox_id,
    claimed_at = asked.claimed_at,
    missing_since = asked.missing_since,
    unasked = asked.unasked
FROM differing
JOIN asked USING (id)
WHERE instances.id = differing.id
