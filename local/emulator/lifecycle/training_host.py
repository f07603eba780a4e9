"""One host of a running training job: its container, its log, and how it ended; and several of them together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.engine.port import Container, EngineLost, Exited, Line
from emulator.lifecycle.ports import LogStream


def host_names(count: int) -> tuple[str, ...]:
    """The names that SageMaker gives the hosts of a job, algo-1, algo-2 and so on; sorted as text, as it sorts them."""
    return tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))


@dataclass
class TrainingHost:
    """A host whose container has been started."""

    name: str
    base: Path  # what is /opt/ml to it
    container: Container
    log: LogStream
    code: int = 0  # once it has ended
    last_line: str = ""
    error: Exception | None = None  # a mistake of ours while its events were read

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.code != 0 or self.error is not None

    def follow(self, on_line: Callable[[str], None]) -> None:
        """Write its lines to the log, and give them to `on_line`, until it has ended."""
        try:
            for event in self.container.events():
                if isinstance(event, Line):
                    self.log.write(event.text)
                    on_line(event.text)
                    if event.text.strip():
                        self.last_line = event.text
                elif isinstance(event, Exited):
                    self.code = event.code
        except Exception as error:  # noqa: BLE001 - raised again in the job's own thread
            self.error = error


class Followers:
    """Follows all hosts of a job, each in a thread, and knows which of them failed first."""

    def __init__(self, hosts: Sequence[TrainingHost], on_line: Callable[[str], None], wake: threading.Event) -> None:
        """Sets `wake` when all have ended, or one has failed."""
        self.first_failed: TrainingHost | None = None
        self._on_line = on_line
        self._wake = wake
        self._running = len(hosts)
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._follow, args=(host,), name=f"follow {host.name}", daemon=True)
            for host in hosts
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have ended. Raises what went wrong while their events were read."""
        for thread in self._threads:
            thread.join()
        if self.first_failed and self.first_failed.error:
            raise self.first_failed.error

    def _follow(self, host: TrainingHost) -> None:
        host.follow(self._locked_line)
        with self._lock:
            self._running -= 1
            if host.failed and self.first_failed is None:
                self.first_failed = host
            if host.failed or not self._running:
                self._wake.set()

    def _locked_line(self, line: str) -> None:
        with self._lock:
            self._on_line(line)


def stop_all(hosts: Sequence[TrainingHost], grace_seconds: float) -> None:
    """Stop all of them at the same time; returns when nothing of them is left. Raises EngineLost."""
    lost: list[EngineLost] = []

    def stop(host: TrainingHost) -> None:
        try:
            host.container.stop(grace_seconds)
        except EngineLost as error:
            lost.append(error)

    threads = [threading.Thread(target=stop, args=(host,), name=f"stop {host.name}", daemon=True) for host in hosts[1:]]
    for thread in threads:
        thread.start()
    try:
        for host in hosts[:1]:
            stop(host)
    finally:
        for thread in threads:
            thread.join()
    if lost:
        raise lost[0]
