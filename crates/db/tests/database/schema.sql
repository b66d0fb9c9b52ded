-- Columns, indexes, constraints, triggers and functions of the schema, one a line.
SELECT coalesce(string_agg(line, E'\n' ORDER BY line), '')
FROM (
    SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable,
            column_default) AS line
    FROM information_schema.columns
    WHERE table_schema = 'public'
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS lines
WHERE line NOT LIKE '%\_\_diesel%'
