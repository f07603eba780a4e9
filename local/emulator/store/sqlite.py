"""The store in one SQLite file; the SQL is in `schema.sql` and `queries.sql`."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from emulator.store.documents import decode, encode
from emulator.store.port import (
    Change,
    Changed,
    Kind,
    Listing,
    NameTaken,
    NotFound,
    Resource,
    stamp,
)

_SCHEMA_VERSION = 1
_HERE = Path(__file__).parent


class SchemaMismatch(Exception):
    """The file was written by another version of the emulator; the message says what to do."""


class SQLiteStore:
    """Implements `Store`; one connection, used under a lock, since each statement is short."""

    def __init__(self, path: Path) -> None:
        self._queries = _load_queries((_HERE / "queries.sql").read_text("utf-8"))
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")  # survives a crash of ours, all that is asked
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._create_schema(path)

    def create(self, resource: Resource, tags: Mapping[str, str]) -> None:
        """Add it with its tags. Raises NameTaken."""
        with self._lock, _Transaction(self._connection):
            try:
                self._execute("create", **_row(resource))
            except sqlite3.IntegrityError:
                raise NameTaken(resource.name) from None
            for key, value in tags.items():
                self._execute("tag", arn=resource.arn, key=key, value=value)

    def get(self, kind: Kind, name: str) -> Resource:
        """The resource as it is now. Raises NotFound."""
        with self._lock:
            return self._get(kind, name)

    def list(self, kind: Kind, listing: Listing) -> Sequence[Resource]:
        """The first `limit` resources that the listing describes."""
        after_value, after_name = listing.after or (None, None)
        with self._lock:
            rows = self._execute(
                "list_descending" if listing.descending else "list_ascending",
                kind=kind.value,
                sort_by=listing.sort_by,
                limit=listing.limit,
                after_value=after_value,
                after_name=after_name,
                name_contains=listing.name_contains,
                status=listing.status,
                created_after=_stamp_or_none(listing.created_after),
                created_before=_stamp_or_none(listing.created_before),
                modified_after=_stamp_or_none(listing.modified_after),
                modified_before=_stamp_or_none(listing.modified_before),
            ).fetchall()
        return [_resource(row) for row in rows]

    def change(self, resource: Resource, change: Change) -> Resource:
        """Apply the change if `resource` is still what is stored. Raises Changed or NotFound."""
        changed = change.of(resource)
        with self._lock, _Transaction(self._connection):
            done = self._execute("change", **_row(changed)).rowcount
            self._check(done, resource)
            return self._get(resource.kind, resource.name)

    def delete(self, resource: Resource) -> None:
        """Remove it and its tags if it is still what is stored. Raises Changed or NotFound."""
        with self._lock, _Transaction(self._connection):
            done = self._execute("delete", **_row(resource)).rowcount
            self._check(done, resource)

    def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of the resource, sorted by key. Raises NotFound."""
        with self._lock:
            self._check_arn(arn)
            return {row["key"]: row["value"] for row in self._execute("tags", arn=arn)}

    def tag(self, arn: str, tags: Mapping[str, str]) -> Mapping[str, str]:
        """Add or overwrite tags, and return all. Raises NotFound."""
        with self._lock, _Transaction(self._connection):
            self._check_arn(arn)
            for key, value in tags.items():
                self._execute("tag", arn=arn, key=key, value=value)
            return {row["key"]: row["value"] for row in self._execute("tags", arn=arn)}

    def untag(self, arn: str, keys: Sequence[str]) -> None:
        """Remove tags; a key that is not there is no error. Raises NotFound."""
        with self._lock, _Transaction(self._connection):
            self._check_arn(arn)
            for key in keys:
                self._execute("untag", arn=arn, key=key)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _create_schema(self, path: Path) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            schema = (_HERE / "schema.sql").read_text("utf-8")
            self._connection.executescript(f"BEGIN; {schema} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        elif found != _SCHEMA_VERSION:
            self._connection.close()
            raise SchemaMismatch(
                f"{path} has schema {found}, this emulator needs {_SCHEMA_VERSION}: remove the file, "
                "or name another folder with --state-dir"
            )

    def _execute(self, query: str, **parameters: Any) -> sqlite3.Cursor:
        return self._connection.execute(self._queries[query], parameters)

    def _get(self, kind: Kind, name: str) -> Resource:
        row = self._execute("get", kind=kind.value, name=name).fetchone()
        if row is None:
            raise NotFound(f"{kind} {name}")
        return _resource(row)

    def _check(self, rows_changed: int, resource: Resource) -> None:
        if rows_changed == 0:
            self._get(resource.kind, resource.name)
            raise Changed(f"{resource.kind} {resource.name}")

    def _check_arn(self, arn: str) -> None:
        if self._execute("arn_exists", arn=arn).fetchone() is None:
            raise NotFound(arn)


class _Transaction:
    """All or nothing; takes the write lock at once, so that it cannot fail half-way for want of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _load_queries(text: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _row(resource: Resource) -> dict[str, Any]:
    return {
        "kind": resource.kind.value,
        "name": resource.name,
        "arn": resource.arn,
        "status": resource.status,
        "created": stamp(resource.created),
        "modified": stamp(resource.modified),
        "version": resource.version,
        "document": encode(resource.document),
    }


def _resource(row: sqlite3.Row) -> Resource:
    return Resource(
        kind=Kind(row["kind"]),
        name=row["name"],
        arn=row["arn"],
        status=row["status"],
        created=datetime.fromisoformat(row["created"]),
        modified=datetime.fromisoformat(row["modified"]),
        version=row["version"],
        document=decode(row["document"]),
    )


def _stamp_or_none(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)
