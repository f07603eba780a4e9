"""Talks to a serving container over HTTP: the health check, and invocations, in one piece or as a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import urllib3

from emulator.lifecycle.container_connection import Broken, Connection, NotSent, Pool, TooSlow

PING_SECONDS = 2.0  # AWS gives /ping two seconds
INVOCATION_SECONDS = 60.0  # and /invocations sixty
INVOCATIONS = "/invocations"
# Shorter than the time for which any common server keeps a silent connection (gunicorn: 2 s), so that hardly ever one
# is ended at the moment when a request leaves.
_KEEP_SECONDS = 1.5
_KEPT = 64  # an address


class NoAnswer(Exception):
    """The container gave none; the message says why, and `timeout` whether time was the reason."""

    def __init__(self, message: str, *, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


@dataclass(frozen=True)
class Call:
    """What to ask of a container."""

    body: bytes
    headers: Mapping[str, str]
    path: str = INVOCATIONS
    container: str = "primary"  # its name in AWS's messages
    seconds: float = INVOCATION_SECONDS  # until the answer is there; of a stream, until it begins
    stream_seconds: float = 0.0  # until the end of a stream; counts when it is more


@dataclass(frozen=True)
class Answer:
    """What the container answered."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Stream:
    """An answer whose body is still to come: iterate over `blocks` once, and `close` it in any case."""

    def __init__(self, pool: Pool, connection: Connection, call: Call, deadline: float) -> None:
        """`deadline` (of `time.monotonic`) is that of the head."""
        self._pool, self._connection, self._call = pool, connection, call
        self._deadline = deadline + max(0.0, call.stream_seconds - call.seconds)
        self.status, self.headers = connection.head(deadline)

    def blocks(self) -> Iterator[bytes]:
        """The body in the pieces in which the container sends it. Raises NoAnswer when it breaks off."""
        try:
            yield from self._connection.body(self._deadline)
        except (TooSlow, Broken) as error:
            raise _no_answer(error, self._call.container) from None

    def read(self) -> Answer:
        """All of it. Raises NoAnswer."""
        return Answer(self.status, self.headers, b"".join(self.blocks()))

    def close(self) -> None:
        """Give the connection back, if the body was read to its end; else the container sees that nobody listens."""
        self._pool.give(self._connection)


class ContainerClient:
    """HTTP to the containers on this machine; safe to use from several threads."""

    def __init__(self) -> None:
        self._http = urllib3.PoolManager(num_pools=64, maxsize=16, retries=False)
        self._pool = Pool(_KEEP_SECONDS, _KEPT)

    def ping(self, address: str) -> bool:
        """Whether /ping answers 200 in time."""
        close = {"Connection": "close"}  # a container that has just begun to listen has no kept ones
        try:
            response = self._http.request("GET", f"http://{address}/ping", timeout=PING_SECONDS, headers=close)
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == 200

    def invoke(self, address: str, call: Call) -> Answer:
        """POST, and the whole answer. Raises NoAnswer when there is none within the time."""
        stream = self.stream(address, call)
        try:
            return stream.read()
        finally:
            stream.close()

    def stream(self, address: str, call: Call) -> Stream:
        """POST, and the answer as soon as its head is there. Raises NoAnswer."""
        deadline = time.monotonic() + call.seconds
        kept = self._pool.take(address)
        try:
            if kept is not None:
                try:
                    return self._ask(kept, call, deadline)
                except NotSent:
                    pass  # the container ended the connection at that moment: it has not begun, so a second try is safe
            return self._ask(Connection(address, deadline), call, deadline)
        except (TooSlow, Broken) as error:
            raise _no_answer(error, call.container) from None

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()

    def _ask(self, connection: Connection, call: Call, deadline: float) -> Stream:
        try:
            connection.send(call.path, call.headers, call.body, deadline)
            return Stream(self._pool, connection, call, deadline)
        except BaseException:
            connection.close()
            raise


def _no_answer(error: TooSlow | Broken, container: str) -> NoAnswer:
    if isinstance(error, TooSlow):
        # AWS's own text of a model that is too slow.
        return NoAnswer(
            f"Your invocation timed out while waiting for a response from container {container}. Review the latency "
            "metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
            timeout=True,
        )
    return NoAnswer(f"The container did not answer: {error}")
