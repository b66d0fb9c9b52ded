-- provisions::mark_destroyed
-- $1 the id, $2 the step that is done.
UPDATE provisions
SET destroyed = CASE
        WHEN $2 = ANY (destroyed) THEN destroyed
        ELSE array_append(destroyed, $2)
    END,
    service_deleted_at = CASE WHEN $2 = 'service' THEN now() ELSE service_deleted_at END
WHERE id = $1
