"""A container of the Docker engine: its output as lines, its exit code, its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from docker.errors import APIError, NotFound
from requests import RequestException

from emulator.engine.docker_errors import ERRORS
from emulator.engine.docker_terminate import TERMINATE
from emulator.engine.lines import Lines
from emulator.engine.port import EngineLost, Event, Exited, Line, Started

BASE = "/opt/ml"  # where a container finds its tree
DRAIN_SECONDS = 5.0  # how long a stop waits for the last lines to be read


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
        """`container` is the Docker SDK's; `remove` is called when it has ended, or is lost."""
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

    @property
    def base_dir(self) -> str:
        """Where the tree is mounted."""
        return BASE

    def events(self) -> Iterator[Event]:
        """Started, then lines, then Exited: blocks until each happens. To be read once, by one thread.

        Raises EngineLost.
        """
        self._reading = True
        yield Started()
        lines = Lines()
        try:
            with self._daemon_answers():
                for chunk in self._output:
                    for text in lines.feed(chunk):
                        yield Line(text)
            for text in lines.end():
                yield Line(text)
        finally:
            self._drained.set()
        with self._daemon_answers():
            code = self._conclude()
        yield Exited(code)

    def alive(self) -> bool:
        """Whether it still runs. Raises EngineLost."""
        if self._code is not None:
            return False
        with self._daemon_answers():
            try:
                self._container.reload()
            except NotFound:
                return False
        return bool(self._container.status == "running")

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to its processes, SIGKILL after `grace_seconds`; returns when none is left. Idempotent.

        A process that handles SIGTERM is let end in order, also when what started it does not. Raises EngineLost.
        """
        with self._daemon_answers():
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
                self._container.kill("SIGTERM")  # nothing more can be started in there: at least to the program itself
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
                try:
                    self._code = int(self._container.wait()["StatusCode"])
                finally:
                    self._output.close()
                    self._remove()
            return self._code

    @contextmanager
    def _daemon_answers(self) -> Iterator[None]:
        """What the daemon does not answer is EngineLost."""
        try:
            yield
        except ERRORS as error:
            raise EngineLost(f"The Docker daemon does not answer for the container any more: {error}") from error


def discard(container: Any) -> None:
    """Remove it, running or not; where that cannot be done now, a later start finds it by its labels."""
    with suppress(*ERRORS):
        container.remove(force=True, v=True)
