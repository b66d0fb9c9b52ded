-- Also from the contracted state: what contraction installed goes with the functions that it calls.
SET LOCAL lock_timeout = '400ms';

DROP TRIGGER IF EXISTS instances_before_update ON instances;
DROP TRIGGER IF EXISTS instances_before_delete ON instances;
DROP TRIGGER IF EXISTS instances_after_insert ON instances;
ALTER TABLE instances DROP CONSTRAINT IF EXISTS instances_status_check;
UPDATE pool_schema SET contracted_at = NULL;

DROP FUNCTION instances_after_insert();
DROP FUNCTION instances_before_delete();
DROP FUNCTION instances_before_update();
DROP FUNCTION instances_refuse(instances, text);
DROP FUNCTION instance_status_may_change(text, text);
