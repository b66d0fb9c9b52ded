SET LOCAL lock_timeout = '5s';

DROP TABLE managers_taken_over;
ALTER TABLE pool_schema DROP COLUMN manager_id;
