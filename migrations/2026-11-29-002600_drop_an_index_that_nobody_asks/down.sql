SET LOCAL lock_timeout = '400ms';

CREATE INDEX idx_provisions_service_id ON provisions (service_id) WHERE service_id IS NOT NULL;
