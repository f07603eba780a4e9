"""A container of the Docker engine: its output as lines, its exit code, its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from docker.errors import APIError, NotFound
from requests import RequestException

from emulator.engine.lines import Lines
from emulator.engine.port import Event, Exited, Line, Started

DRAIN_SECONDS = 5.0  # how long a stop waits for the last lines to be read
# To every process but the first, which is Docker's init: that ends by itself when the program does.
TERMINATE = ["/bin/sh", "-c", "kill -TERM -1"]


class Output:
    """What a container writes from now on, as it comes, until it has ended."""

    def __init__(self, client: Any, container_id: str) -> None:
        """Attach to a container that has not started yet, so that nothing is lost."""
        self._stream = client.api.attach(container_id, stdout=True, stderr=True, stream=True)

    def __iter__(self) -> Iterator[bytes]:
        """The chunks of both streams."""
        yield from self._stream

    def close(self) -> None:
        """Close the connection; the SDK's own `close` leaves its response open."""
        with suppress(OSError):  # the daemon has closed it
            self._stream.close()
        self._stream._response.close()


class DockerContainer:
    """A container that was started, and whose output is attached to since before that."""

    def __init__(self, container: Any, output: Output, address: str, remove: Callable[[], None]) -> None:
        """`container` is the Docker SDK's; `remove` is called once, when it has ended."""
        self._container = container
        self._output = output
        self._address = address
        self._remove = remove
        self._code: int | None = None
        self._concluding = threading.Lock()
        self._reading = False
        self._drained = threading.Event()

    @property
    def address(self) -> str:
        """Where `serve` answers, as "host:port"; empty for `train`."""
        return self._address

    def events(self) -> Iterator[Event]:
        """Started, then lines, then Exited: blocks until each happens. To be read once, by one thread."""
        self._reading = True
        yield Started()
        lines = Lines()
        try:
            for chunk in self._output:
                for text in lines.feed(chunk):
                    yield Line(text)
            for text in lines.end():
                yield Line(text)
        finally:
            self._drained.set()
        yield Exited(self._conclude())

    def alive(self) -> bool:
        """Whether it still runs."""
        if self._code is not None:
            return False
        try:
            self._container.reload()
        except NotFound:
            return False
        return bool(self._container.status == "running")

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to all of its processes, SIGKILL after `grace_seconds`; returns when none is left. Idempotent."""
        if self.alive() and not (grace_seconds > 0 and self._terminate(grace_seconds)):
            with suppress(APIError):  # it ended just now
                self._container.kill()
        if self._reading:
            self._drained.wait(DRAIN_SECONDS)
        self._conclude()

    def _terminate(self, grace_seconds: float) -> bool:
        """Whether it ended of SIGTERM in time."""
        try:
            if self._container.exec_run(TERMINATE).exit_code != 0:
                self._container.kill("SIGTERM")  # no shell in there: the program itself must pass it on
        except APIError:
            pass  # it ended just now
        try:
            self._container.wait(timeout=grace_seconds)
        except RequestException:
            return False
        except NotFound:
            pass
        return True

    def _conclude(self) -> int:
        """Its exit code; the first to ask removes what is left of it."""
        with self._concluding:
            if self._code is None:
                code = int(self._container.wait()["StatusCode"])
                self._output.close()
                self._remove()
                self._code = code
            return self._code
