"""Room on the disk that the store has beforehand, so that a job that fills the disk can still be stored as failed."""

from __future__ import annotations

import sqlite3

# Where SQLite begins to copy the write-ahead log into the file: from then on it writes over the same log.
BYTES = 4 * 1024 * 1024


def reserve(connection: sqlite3.Connection) -> None:
    """Have the write-ahead log and the free pages of the file be that large. Raises sqlite3.OperationalError: no room.

    The log keeps its size until the file is closed, and the file its own: what is written takes no new room for as
    long as it fits.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS reserve (filler BLOB)")  # one that was killed in here left it
        connection.execute("INSERT INTO reserve VALUES (zeroblob(?))", (BYTES,))
        connection.execute("COMMIT")
        connection.execute("DROP TABLE reserve")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
