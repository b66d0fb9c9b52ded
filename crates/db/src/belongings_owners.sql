-- belongings::owners
-- $1 kinds and $2 ids outside, of the same length.
SELECT known.kind, known.outside_id, known.instance_id
FROM unnest($1::text[], $2::text[]) AS asked (kind, outside_id)
JOIN belongings AS known USING (kind, outside_id)
