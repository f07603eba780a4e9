"""Time as a port: the real clock, and one for tests that moves only when it is told to."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the life cycles know of time."""

    def now(self) -> datetime:
        """The time in UTC, in whole milliseconds (AWS's timestamps are no finer)."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Let that time pass."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most that long; whether it is set."""


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """The time in UTC, in whole milliseconds."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let that time pass."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most that long; whether it is set."""
        return event.wait(seconds)


class FakeClock:
    """Stands still until `advance`; `sleep` returns at once and moves it, `wait` waits for it to be moved."""

    def __init__(self, start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The start plus what was advanced."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The seconds advanced so far."""
        with self._lock:
            return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        with self._lock:
            self._elapsed += seconds

    def sleep(self, seconds: float) -> None:
        """Move the time on, and let other threads run."""
        self.advance(seconds)
        time.sleep(0.0005)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, or the time was moved on far enough."""
        deadline = self.monotonic() + seconds
        while self.monotonic() < deadline:
            if event.wait(0.002):
                return True
        return event.is_set()
