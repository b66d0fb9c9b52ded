SET LOCAL lock_timeout = '400ms';

DROP TABLE claim_requests;
