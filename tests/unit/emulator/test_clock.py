from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from emulator.clock import Clock, FakeClock, SystemClock


@pytest.fixture(params=[SystemClock, FakeClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """A clock of each kind."""
    made: Clock = request.param()
    return made


def test_times_are_in_utc_and_whole_milliseconds(clock: Clock) -> None:
    """As fine as AWS's timestamps."""
    now = clock.now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0


def test_sleeping_lets_time_pass(clock: Clock) -> None:
    """Both clocks move on by what was slept."""
    before, then = clock.monotonic(), clock.now()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.0099
    assert clock.now() > then


def test_a_wait_ends_with_the_event(clock: Clock) -> None:
    """However long it was to be."""
    event = threading.Event()
    event.set()
    assert clock.wait(event, 100)
    assert not clock.wait(threading.Event(), 0)


def test_the_fake_clock_waits_for_the_test() -> None:
    """A wait ends when the time was moved on far enough, and not before."""
    clock, ended = FakeClock(datetime(2025, 1, 1, tzinfo=UTC)), threading.Event()
    thread = threading.Thread(target=lambda: (clock.wait(threading.Event(), 10), ended.set()))
    thread.start()
    clock.advance(9)
    assert not ended.wait(0.05)
    clock.advance(2)
    assert ended.wait(5)
    thread.join()
    assert clock.now() == datetime(2025, 1, 1, 0, 0, 11, tzinfo=UTC)
