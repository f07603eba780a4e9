-- From schema 1, which kept the documents in the primary key's own tree: what is stored moves into the tables of today.
-- name: before
ALTER TABLE tag RENAME TO tag_1;
ALTER TABLE resource RENAME TO resource_1;

-- name: after
-- Endpoints ended with their emulator then, and their documents do not say enough to start them again.
DELETE FROM tag_1 WHERE arn IN (SELECT arn FROM resource_1 WHERE kind = 'endpoint');
DELETE FROM resource_1 WHERE kind = 'endpoint';
INSERT INTO resource (kind, name, arn, status, created, modified, version, document)
SELECT kind, name, arn, status, created, modified, version, document FROM resource_1 ORDER BY created, name;
INSERT INTO tag (arn, key, value) SELECT arn, key, value FROM tag_1;
DROP TABLE tag_1;
DROP TABLE resource_1;
