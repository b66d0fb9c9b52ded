SET LOCAL lock_timeout = '400ms';

ALTER TABLE instances RESET (fillfactor);
