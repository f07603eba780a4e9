"""Requests and responses as values; `server` turns sockets into them and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came in: nothing in `target` is decoded, since signatures cover the raw form."""

    method: str
    target: str  # path and query as on the request line
    headers: Mapping[str, str]  # names in lower case; repeated ones joined with ", "
    body: BinaryIO  # at its start; rewind after reading
    length: int = 0

    @property
    def path(self) -> str:
        """The raw path, without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query, in order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Response:
    """What is answered; `body` may be a stream of chunks."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
