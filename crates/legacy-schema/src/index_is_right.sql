-- contraction::is_right
-- Whether the index $1 is unique as $2 says, made as $3 says, and no constraint's.
SELECT EXISTS (
    SELECT FROM pg_index
    JOIN pg_class ON pg_class.oid = pg_index.indexrelid
    WHERE pg_index.indrelid = 'instances'::regclass
        AND pg_class.relname = $1
        AND pg_index.indisunique = $2
        AND pg_index.indisvalid
        AND substring(pg_get_indexdef(pg_index.indexrelid) FROM ' USING (.*)$') = $3
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = pg_index.indexrelid)
) AS truth
