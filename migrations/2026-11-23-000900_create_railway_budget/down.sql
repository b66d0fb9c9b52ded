SET LOCAL lock_timeout = '400ms';

DROP TABLE railway_limits;
DROP TABLE railway_spending;
