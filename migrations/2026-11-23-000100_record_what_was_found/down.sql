SET LOCAL lock_timeout = '400ms';

DROP TABLE pool_schema;
