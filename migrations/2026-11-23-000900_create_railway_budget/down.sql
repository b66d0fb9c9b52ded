SET LOCAL lock_timeout = '5s';

DROP TABLE railway_limits;
DROP TABLE railway_spending;
