-- No statement looks for a provision by its service, neither of this version nor of the one before.
SET LOCAL lock_timeout = '400ms';

DROP INDEX idx_provisions_service_id;
