"""One serving container of an endpoint, with the thread that starts it, checks its health and starts it again."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from emulator.clock import Clock
from emulator.engine.port import Container, Engine, EngineLost, Exited, ImageNotFound, Line, StartFailed, Work
from emulator.lifecycle.ports import LogStream

PING_EVERY = 0.1
RESTARTS = 3  # in a row; a container that served for FRESH_AFTER seconds in between starts afresh
FRESH_AFTER = 60.0
_LAST_LINES = 5


class Health(Protocol):
    """The health check."""

    def ping(self, address: str) -> bool:
        """Whether the container there is healthy."""


@dataclass(frozen=True)
class ServingSpec:
    """What to run, and how long it may take until it is healthy."""

    work: Work
    variant: str
    startup_seconds: float
    grace_seconds: float
    name: str = "primary"  # what AWS calls the container


class ServingContainer:
    """Runs one container of a variant until it is stopped or has failed for good.

    `outcome` is called once, from its thread: with None when it is healthy for the first time, or with the reason why
    it never became so. `failed` is called when it dies later and does not come back.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        health: Health,
        log: LogStream,
        spec: ServingSpec,
    ) -> None:
        self._engine, self._clock, self._health = engine, clock, health
        self._log = log
        self._spec = spec
        self._lock = threading.Lock()
        self._container: Container | None = None
        self._stopping = False
        self._was_healthy = False
        self._address: str | None = None
        self._starts = 0
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def address(self) -> str | None:
        """Where it answers, when it is healthy."""
        return self._address

    @property
    def starts(self) -> int:
        """How often it was started: what it held in memory is gone when that has changed."""
        return self._starts

    @property
    def base_dir(self) -> str:
        """Its tree, /opt/ml, as the container itself sees it; empty before it was started."""
        container = self._container
        return container.base_dir if container is not None else ""

    def run(self, outcome: Callable[[str | None], None], failed: Callable[[str], None]) -> None:
        """The body of its thread: returns when the container has ended for good."""
        try:
            reason = self._live(lambda: outcome(None))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave an endpoint in between
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            for line in traceback.format_exc().splitlines():
                self._log.write(f"[emulator] {line}")
        if not self._was_healthy:
            outcome(reason or "It was stopped.")
        elif reason is not None and not self._stopping:
            failed(reason)

    def _live(self, healthy: Callable[[], None]) -> str | None:
        restarts = 0
        while True:
            try:
                ended = self._once(healthy)
            except (ImageNotFound, StartFailed) as error:
                return f"The container could not be started. {error}"
            except EngineLost as error:
                return str(error)
            if self._stopping:
                return None
            if not self._was_healthy:
                return ended.reason
            restarts = 1 if ended.served_seconds >= FRESH_AFTER else restarts + 1
            if restarts > RESTARTS:
                return f"{ended.reason} It was started again {RESTARTS} times."
            self._log.write(f"[emulator] {ended.reason} Starting it again ({restarts} of {RESTARTS}).")

    def _once(self, healthy: Callable[[], None]) -> _End:
        with self._lock:
            if self._stopping:
                return _End("", 0.0)
            container = self._container = self._engine.start(self._spec.work)
            self._starts += 1
        ended = threading.Event()
        code: list[int] = []
        reader = threading.Thread(
            target=self._read, args=(container, code, ended), name=f"log of {self._spec.work.name}", daemon=True
        )
        reader.start()
        try:
            if not self._wait_until_healthy(container, ended):
                dead = ended.is_set()
                container.stop(self._spec.grace_seconds)
                ended.wait()
                return _End(self._ping_failure(code[0] if dead and code else None), 0.0)
            since = self._clock.monotonic()
            self._address = container.address
            if not self._was_healthy:
                self._was_healthy = True
                healthy()
            ended.wait()
            self._address = None
            served = self._clock.monotonic() - since
            return _End(f"The container exited with code {code[0] if code else '?'}{self._tail()}.", served)
        finally:
            self._address = None
            container.stop(self._spec.grace_seconds)
            reader.join()

    def stop(self, grace_seconds: float) -> None:
        """End it; returns when nothing of it runs."""
        with self._lock:
            self._stopping = True
            container = self._container
        self._address = None
        if container is not None:
            with suppress(EngineLost):  # its own thread finds that, too
                container.stop(grace_seconds)

    def _read(self, container: Container, code: list[int], ended: threading.Event) -> None:
        try:
            for event in container.events():
                if isinstance(event, Line):
                    self._log.write(event.text)
                    if event.text.strip():
                        self._last_lines.append(event.text)
                elif isinstance(event, Exited):
                    code.append(event.code)
        except EngineLost:
            pass  # as `stop` will say
        finally:
            ended.set()

    def _wait_until_healthy(self, container: Container, ended: threading.Event) -> bool:
        deadline = self._clock.monotonic() + self._spec.startup_seconds
        while not ended.is_set() and not self._stopping:
            if self._health.ping(container.address):
                return True
            if self._clock.monotonic() >= deadline:
                return False
            self._clock.sleep(PING_EVERY)
        return False

    def _ping_failure(self, code: int | None) -> str:
        # AWS's own text; what happened is added, since the log is at hand here.
        aws = (
            f"The {self._spec.name} container for production variant {self._spec.variant} did not pass the ping health "
            "check. Please check CloudWatch logs for this endpoint."
        )
        if code is not None:
            return f"{aws} The container exited with code {code}{self._tail()}"
        return f"{aws} It did not answer 200 within {self._spec.startup_seconds:g} seconds{self._tail()}"

    def _tail(self) -> str:
        return f"; the last lines of its log: {' | '.join(self._last_lines)}" if self._last_lines else ""


@dataclass(frozen=True)
class _End:
    """How one container ended: why, and how long it had served."""

    reason: str
    served_seconds: float
