from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.clock import FakeClock
from emulator.logs import MAX_BATCH_BYTES, MAX_EVENTS, MAX_LINE_BYTES, CloudWatchLogs


class FakeTaken(Exception):
    """Already there."""


class FakeMissing(Exception):
    """Not there."""


class FakeLogsService:
    """Takes log events as CloudWatch Logs does, within its limits."""

    exceptions = SimpleNamespace(ResourceAlreadyExistsException=FakeTaken, ResourceNotFoundException=FakeMissing)

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.streams: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.batches = 0
        self.broken: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def create_log_group(self, *, logGroupName: str) -> None:
        """Make it, once."""
        self.gate.wait(10)
        if self.broken:
            raise self.broken
        if logGroupName in self.groups:
            raise FakeTaken
        self.groups.append(logGroupName)

    def create_log_stream(self, *, logGroupName: str, logStreamName: str) -> None:
        """Make it."""
        self.streams.append(f"{logGroupName}:{logStreamName}")

    def put_log_events(self, *, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]) -> None:
        """Refuse what CloudWatch Logs would refuse."""
        if f"{logGroupName}:{logStreamName}" not in self.streams:
            raise FakeMissing
        assert 0 < len(logEvents) <= MAX_EVENTS
        assert sum(len(e["message"].encode()) + 26 for e in logEvents) <= MAX_BATCH_BYTES
        assert all(0 < len(e["message"].encode()) <= MAX_LINE_BYTES for e in logEvents)
        times = [e["timestamp"] for e in logEvents]
        assert times == sorted(times)
        self.batches += 1
        self.events += logEvents


@pytest.fixture
def service() -> FakeLogsService:
    """An empty CloudWatch Logs."""
    return FakeLogsService()


@pytest.fixture
def reports() -> list[str]:
    """What was reported to people."""
    return []


@pytest.fixture
def logs(service: FakeLogsService, reports: list[str]) -> Any:
    """The writer to that service; closed at the end."""
    made = CloudWatchLogs(lambda: service, FakeClock(), reports.append)
    yield made
    made.close(5)


def messages(service: FakeLogsService) -> list[str]:
    """All lines that arrived."""
    return [event["message"] for event in service.events]


def test_every_line_is_there_after_a_flush(service: FakeLogsService, logs: CloudWatchLogs) -> None:
    """In order, batched; an empty line is a blank, since an event must not be empty."""
    stream = logs.open("group", "stream")
    for number in range(500):
        stream.write(f"line {number}" if number else "")
    stream.flush(10)
    assert messages(service) == [" ", *(f"line {number}" for number in range(1, 500))]
    assert service.batches < 50
    assert (service.groups, service.streams) == (["group"], ["group:stream"])


def test_lines_arrive_without_a_flush(service: FakeLogsService, logs: CloudWatchLogs) -> None:
    """In the background, within a fraction of a second; two streams of one group make the group once."""
    arrived = threading.Event()
    put = service.put_log_events
    service.put_log_events = lambda **call: (put(**call), len(service.events) == 2 and arrived.set())  # type: ignore[method-assign]
    logs.open("group", "one").write("a")
    logs.open("group", "two").write("b")
    assert arrived.wait(5)
    assert service.groups == ["group"]
    assert sorted(messages(service)) == ["a", "b"]


def test_limits_are_kept(service: FakeLogsService, logs: CloudWatchLogs) -> None:
    """A line too long for an event becomes several; a batch has neither too many lines nor too many bytes."""
    stream = logs.open("group", "stream")
    service.gate.clear()
    long = "é" * MAX_LINE_BYTES
    stream.write(long)
    for number in range(MAX_EVENTS + 100):
        stream.write(str(number))
    for _ in range(10):
        stream.write("x" * 250_000)
    service.gate.set()
    stream.flush(30)
    assert "".join(messages(service)[:2]) == long
    assert messages(service)[2 : MAX_EVENTS + 102] == [str(number) for number in range(MAX_EVENTS + 100)]
    assert len(service.events) == 2 + MAX_EVENTS + 100 + 10


def test_an_unreachable_service_costs_lines_and_is_reported_once(
    service: FakeLogsService, logs: CloudWatchLogs, reports: list[str]
) -> None:
    """A flush returns, later lines arrive when it is back, and people read of it once."""
    service.broken = ConnectionError("nobody there")
    stream = logs.open("group", "stream")
    for text in ("lost", "lost as well"):
        stream.write(text)
        stream.flush(5)
    service.broken = None
    stream.write("kept")
    stream.flush(5)
    assert messages(service) == ["kept"]
    assert len(reports) == 1
    assert "nobody there" in reports[0]


def test_a_flush_does_not_wait_for_ever(service: FakeLogsService, logs: CloudWatchLogs) -> None:
    """A service that hangs holds up nobody longer than was said."""
    service.gate.clear()
    stream = logs.open("group", "stream")
    stream.write("late")
    stream.flush(0.05)
    assert messages(service) == []
    service.gate.set()


@pytest.mark.parametrize("make", [lambda: (_ for _ in ()).throw(OSError("no client"))])
def test_a_client_that_cannot_be_made_is_reported(make: Callable[[], Any], reports: list[str]) -> None:
    """Whatever goes wrong in the background, the thread lives on."""
    logs = CloudWatchLogs(make, FakeClock(), reports.append)
    stream = logs.open("group", "stream")
    stream.write("x")
    stream.flush(5)
    logs.close(5)
    assert len(reports) == 1


def test_a_stream_that_went_away_is_made_again(logs: CloudWatchLogs, service: FakeLogsService) -> None:
    """With a LocalStack that was started again groups and streams are gone; the next line does not go with them."""
    stream = logs.open("group", "stream")
    stream.write("before")
    stream.flush(10)
    service.groups.clear()
    service.streams.clear()
    stream.write("after")
    stream.flush(10)
    assert [event["message"] for event in service.events] == ["before", "after"]
    assert service.streams == ["group:stream"]


def test_streams_are_forgotten_with_their_writers(service: FakeLogsService, logs: CloudWatchLogs) -> None:
    """But not before all that was written to them is sent: an emulator may have run thousands of jobs."""
    for number in range(50):
        logs.open("group", f"job-{number}").write("line")
    logs.open("group", "last").flush(10)
    logs.close(10)
    assert len(service.events) == 50
    gc.collect()
    assert len(logs._streams) == 0
