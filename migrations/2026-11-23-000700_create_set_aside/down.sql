-- Its rows are copies, and go with it, as long as what they were copied from is there.
SET LOCAL lock_timeout = '400ms';

DO $$
DECLARE
    stranded bigint;
BEGIN
    SELECT count(*) INTO stranded FROM set_aside WHERE to_regclass(from_table) IS NULL
        OR from_table = 'instances';
    IF stranded > 0 THEN
        RAISE EXCEPTION 'set_aside is the only record of % rows, so it is not dropped', stranded
            USING HINT = 'Copy the table elsewhere and empty it first.';
    END IF;
    DROP TABLE set_aside;
END $$;
