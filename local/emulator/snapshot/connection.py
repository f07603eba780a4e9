"""Plain HTTP to LocalStack on connections that stay open: half the cost of boto3, which matters to 10,000 objects."""

from __future__ import annotations

import http.client
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

_BLOCK = 1024 * 1024
_SECONDS = 60.0  # without a byte
_READ_AT_ONCE = 4 * 1024 * 1024
PASSING = frozenset({429, 500, 502, 503, 504})  # errors that may go away
# LocalStack checks no signature, but reads service and region from there.
_SIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/{region}/s3/aws4_request, SignedHeaders=host, Signature=none"


class NotThere(Exception):
    """No such bucket or object."""


class Refused(Exception):
    """S3 answered with an error that will not go away; the message has its status and text."""


class Failing(Exception):
    """S3 gave no answer, cut it, or says that it cannot answer now."""


@dataclass(frozen=True)
class Answer:
    """A 2xx answer: names of headers in lower case. A large body comes as it is read."""

    headers: Mapping[str, str]
    body: Generator[bytes, None, None]

    def close(self) -> None:
        """Give the connection up, if the body was not read to its end."""
        self.body.close()


class Connections:
    """To one host; a request takes one that is idle, or opens another. From any thread."""

    def __init__(self, base_url: str, region: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._authorization = _SIGNED.format(region=region)
        self._idle: deque[http.client.HTTPConnection] = deque()

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO = b"",
        length: int | None = None,
    ) -> Answer:
        """Send it, `length` bytes of a `body` that is a file. Raises NotThere, Refused, Failing."""
        size = len(body) if isinstance(body, bytes) else length or 0
        sent = {"Authorization": self._authorization, **(headers or {}), "Content-Length": str(size)}
        connection, again = self._take()
        while True:
            try:
                content = body if isinstance(body, bytes) else _blocks_of(body, size)
                connection.request(method, target, content, sent)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if again and isinstance(body, bytes):
                    again, connection = False, self._connect()
                    continue
                raise Failing(f"{error or type(error).__name__}") from error
            return self._answer(connection, answer)

    def close(self) -> None:
        """Close those that are idle."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it has waited: then the other side may have closed it."""
        try:
            return self._idle.pop(), True
        except IndexError:
            return self._connect(), False

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS, blocksize=_BLOCK)

    def _answer(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status < 300 and (answer.length is None or answer.length > _READ_AT_ONCE):
            return Answer(headers, self._stream(connection, answer))
        content = b"".join(self._stream(connection, answer))
        if answer.status < 300:
            return Answer(headers, _once(content))
        if answer.status == 404:
            raise NotThere
        error = f"{answer.status} {answer.reason} {content[:300].decode(errors='replace')}"
        raise (Failing if answer.status in PASSING else Refused)(error)

    def _stream(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> Generator[bytes, None, None]:
        try:
            while block := answer.read(_BLOCK):
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise Failing(f"the answer was cut: {error}") from error
        finally:
            if answer.isclosed() and not answer.will_close:
                self._idle.append(connection)
            else:
                connection.close()


def _blocks_of(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (block := file.read(min(_BLOCK, length))):
        yield block
        length -= len(block)


def _once(content: bytes) -> Generator[bytes, None, None]:
    yield content
