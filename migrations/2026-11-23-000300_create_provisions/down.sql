SET LOCAL lock_timeout = '400ms';

DROP TABLE provisions;
