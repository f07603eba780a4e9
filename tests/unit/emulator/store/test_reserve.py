"""The store has room beforehand."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from emulator.store.reserve import BYTES, reserve
from emulator.store.sqlite import SQLiteStore


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """No file can grow beyond that size for the block: it stands for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_what_is_written_afterwards_needs_no_room(tmp_path: Path) -> None:
    """Neither the log nor the file grows while what is written fits, for as long as it goes on."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE words (word TEXT)")
        reserve(connection)
        before = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
        assert before["store.db-wal"] >= BYTES
        with no_room_beyond(max(before.values())):
            for _ in range(300):
                connection.execute("INSERT INTO words VALUES (?)", ("x" * 10_000,))
        assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == before


def test_the_file_does_not_grow_with_each_start(tmp_path: Path) -> None:
    """The room of the last start is used again, also after a kill in the middle."""
    sizes = []
    for _ in range(3):
        SQLiteStore(tmp_path / "store.db").close()
        sizes.append((tmp_path / "store.db").stat().st_size)
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
            connection.execute("CREATE TABLE reserve (filler BLOB)")
    assert sizes[1] == sizes[2]


def test_a_full_disk_does_not_hinder_a_start(tmp_path: Path) -> None:
    """What there is can be read."""
    SQLiteStore(tmp_path / "store.db").close()
    with no_room_beyond(BYTES // 2), pytest.raises(sqlite3.OperationalError, match=r"full|I/O"):
        reserve(sqlite3.connect(tmp_path / "new.db", isolation_level=None))
    with no_room_beyond((tmp_path / "store.db").stat().st_size // 2):
        SQLiteStore(tmp_path / "store.db").close()
