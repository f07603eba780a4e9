-- Times are UTC text of fixed width, so that they sort as the times do (store/port.py: stamp).
CREATE TABLE resource (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    arn      TEXT NOT NULL UNIQUE,
    status   TEXT NOT NULL,
    created  TEXT NOT NULL,
    modified TEXT NOT NULL,
    version  INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (kind, name)
);

-- One a sort order, and one for the status together with the usual order. Each has all that the filters look at: a page
-- is found in the index alone, and only its own documents are read.
CREATE INDEX resource_by_name ON resource (kind, name, status, created, modified);
CREATE INDEX resource_by_creation ON resource (kind, created, name, status, modified);
CREATE INDEX resource_by_status ON resource (kind, status, name, created, modified);
CREATE INDEX resource_of_status ON resource (kind, status, created, name, modified);

-- The names by all that is three letters long in them: what few names contain is found without a look at the others.
CREATE VIRTUAL TABLE resource_name USING fts5 (name, tokenize = 'trigram case_sensitive 1');
CREATE TRIGGER resource_named AFTER INSERT ON resource BEGIN
    INSERT INTO resource_name (rowid, name) VALUES (new.id, new.name);
END;
CREATE TRIGGER resource_unnamed AFTER DELETE ON resource BEGIN
    DELETE FROM resource_name WHERE rowid = old.id;
END;

CREATE TABLE tag (
    arn   TEXT NOT NULL REFERENCES resource (arn) ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
