SET LOCAL lock_timeout = '400ms';

DROP TABLE managers_taken_over;
ALTER TABLE pool_schema DROP COLUMN manager_id;
