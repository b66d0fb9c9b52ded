SET LOCAL lock_timeout = '5s';

DROP TABLE set_aside;
