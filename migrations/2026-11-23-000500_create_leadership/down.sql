SET LOCAL lock_timeout = '400ms';

DROP FUNCTION pool_check_term(bigint);
DROP FUNCTION pool_raise_term(text);
DROP FUNCTION pool_term_lock();
DROP TABLE leader_terms;
