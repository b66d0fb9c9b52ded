-- belongings::remember_volumes
-- $1 volumes and $2 the instances to whose services they are attached, of the same length.
INSERT INTO belongings (kind, outside_id, instance_id)
SELECT DISTINCT ON (volume) 'volume', volume, instance
FROM unnest($1::text[], $2::text[]) AS seen (volume, instance)
-- In one order, so that two who write at the same time never wait for each other.
ORDER BY volume
ON CONFLICT (kind, outside_id) DO NOTHING
