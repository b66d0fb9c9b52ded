SET LOCAL lock_timeout = '400ms';

DROP TABLE commands;
DROP TABLE ticks;
