SET LOCAL lock_timeout = '5s';

DROP TABLE commands;
DROP TABLE ticks;
