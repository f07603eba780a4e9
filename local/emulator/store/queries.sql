-- Each query is named by the comment above it; store/sqlite.py loads them.

-- name: create
INSERT INTO resource (kind, name, arn, status, created, modified, version, document)
VALUES (:kind, :name, :arn, :status, :created, :modified, :version, :document);

-- name: get
SELECT * FROM resource WHERE kind = :kind AND name = :name;

-- name: change
UPDATE resource
SET status = :status, modified = :modified, version = :version, document = :document
WHERE kind = :kind AND name = :name AND created = :created AND version = :version - 1;

-- name: delete
DELETE FROM resource WHERE kind = :kind AND name = :name AND created = :created AND version = :version;

-- name: list_ascending
WITH sorted AS (
    SELECT *, CASE :sort_by WHEN 'Name' THEN name WHEN 'Status' THEN status ELSE created END AS sort_value
    FROM resource
    WHERE kind = :kind
      AND (:name_contains = '' OR instr(name, :name_contains) > 0)
      AND (:status = '' OR status = :status)
      AND (:created_after IS NULL OR created > :created_after)
      AND (:created_before IS NULL OR created < :created_before)
      AND (:modified_after IS NULL OR modified > :modified_after)
      AND (:modified_before IS NULL OR modified < :modified_before)
)
SELECT * FROM sorted
WHERE :after_value IS NULL OR (sort_value, name) > (:after_value, :after_name)
ORDER BY sort_value, name
LIMIT :limit;

-- name: list_descending
WITH sorted AS (
    SELECT *, CASE :sort_by WHEN 'Name' THEN name WHEN 'Status' THEN status ELSE created END AS sort_value
    FROM resource
    WHERE kind = :kind
      AND (:name_contains = '' OR instr(name, :name_contains) > 0)
      AND (:status = '' OR status = :status)
      AND (:created_after IS NULL OR created > :created_after)
      AND (:created_before IS NULL OR created < :created_before)
      AND (:modified_after IS NULL OR modified > :modified_after)
      AND (:modified_before IS NULL OR modified < :modified_before)
)
SELECT * FROM sorted
WHERE :after_value IS NULL OR (sort_value, name) < (:after_value, :after_name)
ORDER BY sort_value DESC, name DESC
LIMIT :limit;

-- name: arn_exists
SELECT 1 FROM resource WHERE arn = :arn;

-- name: tags
SELECT key, value FROM tag WHERE arn = :arn ORDER BY key;

-- name: tag
INSERT INTO tag (arn, key, value) VALUES (:arn, :key, :value)
ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value;

-- name: untag
DELETE FROM tag WHERE arn = :arn AND key = :key;
