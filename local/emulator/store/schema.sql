-- Times are UTC text of fixed width, so that they sort as the times do (store/port.py: stamp).
CREATE TABLE resource (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    arn      TEXT NOT NULL UNIQUE,
    status   TEXT NOT NULL,
    created  TEXT NOT NULL,
    modified TEXT NOT NULL,
    version  INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE tag (
    arn   TEXT NOT NULL REFERENCES resource (arn) ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
