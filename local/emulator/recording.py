"""Writes what clients asked for: one line of JSON a request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One request, as it is recorded. Credentials are no part of it."""

    service: str | None
    operation: str | None
    method: str
    path: str
    query: list[tuple[str, str]]
    parameters: Mapping[str, Any] | None
    status: int


_SECRET_PARAMETERS = frozenset(
    {"x-amz-credential", "x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature"}
)


class Recorder:
    """Appends to one file; safe to use from several threads, and by several emulators one after the other."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        """`report` is told once when a line cannot be written: the request was served, its answer must not suffer."""
        self._path = path
        self._report = report
        self._reported = False
        self._lock = threading.Lock()

    def write(self, entry: Entry) -> None:
        """Append one line: time, service, operation, method, path, query, input, status."""
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "service": entry.service,
                "operation": entry.operation,
                "method": entry.method,
                "path": entry.path,
                "query": [list(pair) for pair in entry.query if pair[0].lower() not in _SECRET_PARAMETERS],
                "input": _plain(entry.parameters),
                "status": entry.status,
            },
            ensure_ascii=False,
        )
        # Half a character, which JSON can hold and UTF-8 cannot, becomes JSON's escape of it.
        with self._lock:
            try:
                with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line + "\n")
            except OSError as error:
                if not self._reported:
                    self._report(f"{self._path}: requests cannot be recorded: {error}")
                self._reported = True


def _plain(value: Any) -> Any:
    """`value` as JSON has it: times in ISO 8601, blobs by hash and size."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return {"sha256": hashlib.sha256(value).hexdigest(), "size": len(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    return value
