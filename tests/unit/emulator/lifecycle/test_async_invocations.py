"""The queue of asynchronous invocations when it ends: what runs, what waits, and an S3 that is slow or hangs."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.lifecycle.async_invocations import (
    ENDED,
    LARGEST_QUEUE,
    AsyncInvocations,
    AsyncRequest,
    Locations,
    NotTaken,
)
from emulator.lifecycle.capture import Capture, Captured, Side
from emulator.lifecycle.health import ContainerClient
from emulator.lifecycle.invoking import Invoker
from emulator.lifecycle.objects import FakeObjects, Object
from emulator.lifecycle.target import Hop, NoneHealthy, Target


class FakeSlowObjects(FakeObjects):
    """Writing waits for `go`, at most `seconds`; counts what is being written at the same time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.go = threading.Event()
        self.seconds = seconds
        self.now = self.most = 0
        self._lock = threading.Lock()

    def put(self, uri: str, content: Object) -> None:
        """Keep it, later."""
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go.wait(self.seconds)
        super().put(uri, content)
        with self._lock:
            self.now -= 1


class FakeTargets:
    """An endpoint with the instance at that address, or without one."""

    def __init__(self, address: str = "") -> None:
        self._address = address

    def target(self, name: str, variant: str | None, model: str | None = None) -> Target:
        """The one instance."""
        target = Target(name, "A", (Hop("primary", self._address, "group", "A/i-1"),))
        if not self._address:
            raise NoneHealthy(target)
        return target

    def load_model(self, target: Target, target_model: str) -> None:
        """Nothing to do."""

    def model_name(self, target_model: str) -> str:
        """As it is."""
        return target_model


class FakeContainer(http.server.BaseHTTPRequestHandler):
    """Answers at once."""

    def do_POST(self) -> None:
        """With what was sent."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def containers() -> Iterator[ContainerClient]:
    """The HTTP client."""
    containers = ContainerClient()
    yield containers
    containers.close()


Make = Callable[..., AsyncInvocations]


@pytest.fixture
def queue_over(emulator: Callable[..., SimpleNamespace], containers: ContainerClient) -> Make:
    """Makes a queue over these objects, and an endpoint with that instance."""

    def make(objects: FakeObjects, address: str = "") -> AsyncInvocations:
        services, targets = emulator().services, FakeTargets(address)
        invoker = Invoker(containers, targets)
        return AsyncInvocations(targets, invoker, objects, services.logs, services.clock, services.account)

    return make


def request(number: int, body: bytes = b"x") -> AsyncRequest:
    """To the endpoint `e`."""
    return AsyncRequest(
        f"id-{number}", "e", Locations(None, f"s3://b/out/{number}", f"s3://b/failed/{number}"), {}, body
    )


def one() -> int:
    """At once."""
    return 1


def test_what_waits_is_told_of_by_several_threads(queue_over: Make) -> None:
    """2,000 failure objects of 5 ms each are there within 5 seconds, where one after the other takes 10."""
    objects = FakeSlowObjects(0.005)
    queue = queue_over(objects)
    for number in range(2000):
        queue.submit(request(number), one)
    assert queue.close(10) == 0
    assert {content.data for content in objects.objects.values()} == {ENDED.encode()}
    assert len(objects.objects) == 2000
    assert 8 <= objects.most <= 9  # with the worker, which had begun one


def test_an_s3_that_hangs_does_not_hold_up_the_end(
    queue_over: Make, poll: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It ends in time, says how many requests have no object, and begins no other object afterwards."""
    objects = FakeSlowObjects(30)
    queue = queue_over(objects)
    for number in range(100):
        queue.submit(request(number), one)
    began = time.monotonic()
    assert queue.close(0.5) == 100
    assert time.monotonic() - began < 3
    assert "100 asynchronous invocations ended without an object" in caplog.text
    objects.go.set()
    poll(lambda: not objects.now, "nothing is written any more")
    assert len(objects.objects) <= 9  # the worker's, too


def test_an_s3_that_refuses_is_told_of_once(queue_over: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Not once for each of the requests."""
    objects = FakeObjects()
    objects.broken = True
    queue = queue_over(objects)
    for number in range(20):
        queue.submit(request(number), one)
    assert queue.close(5) == 20
    assert "20 asynchronous invocations ended without an object" in caplog.text
    assert "could not be told" not in caplog.text


def test_nothing_is_taken_once_it_ends(queue_over: Make) -> None:
    """Whatever is acknowledged has an object, also of requests that come while it ends."""
    objects = FakeSlowObjects(0.002)
    queue = queue_over(objects)
    ending = threading.Event()
    taken: list[int] = []

    def send() -> None:
        for number in range(100_000):
            try:
                queue.submit(request(number), one)
            except NotTaken:
                return
            taken.append(number)
            if number == 20:
                ending.set()

    with ThreadPoolExecutor(1) as senders:
        sent: Future[None] = senders.submit(send)
        assert ending.wait(10)
        assert queue.close(20) == 0
        sent.result(10)
    assert set(objects.objects) == {f"s3://b/failed/{number}" for number in taken}


def test_what_waits_may_not_fill_the_memory(queue_over: Make) -> None:
    """Bodies beyond the bound are refused by name; what ends makes room."""
    queue = queue_over(FakeObjects())
    queue.submit(request(1, bytes(LARGEST_QUEUE)), one)
    with pytest.raises(NotTaken, match="256 MB"):
        queue.submit(request(2), one)
    queue.submit(request(3, b""), one)
    queue.close(5)


def test_an_output_that_is_being_written_has_no_failure_as_well(
    queue_over: Make, serve: Callable[..., str], poll: Callable[..., Any]
) -> None:
    """Even when the end comes in the middle of it."""
    objects = FakeSlowObjects(30)
    queue = queue_over(objects, serve(FakeContainer))
    queue.submit(request(1), one)
    poll(lambda: objects.now == 1, "the output is being written")
    assert queue.close(0.2) == 1
    objects.go.set()
    poll(lambda: objects.objects and not objects.now, "the output is written")
    assert list(objects.objects) == ["s3://b/out/1"]


def test_what_was_captured_after_the_end_is_written_all_the_same(poll: Callable[..., Any]) -> None:
    """Endpoints answer a little longer."""
    objects = FakeObjects()
    capture = Capture(objects)
    capture.close(5)
    for number in (1, 2):
        capture.add(captured())
        poll(lambda number=number: len(objects.objects) == number, "it is written")
    capture.close(5)


def test_captured_data_that_cannot_be_written_at_the_end_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """With how much that is: S3 refuses, or hangs."""
    broken = FakeObjects()
    broken.broken = True
    capture = Capture(broken)
    capture.add(captured())
    capture.close(5)
    assert "1 captured invocations are lost" in caplog.text
    caplog.clear()
    hanging = FakeSlowObjects(30)
    capture = Capture(hanging)
    capture.add(captured())
    capture.close(0.1)
    hanging.go.set()
    assert "1 captured invocations are not written yet" in caplog.text


def captured() -> Captured:
    """An invocation."""
    config = {"DestinationS3Uri": "s3://b/captured", "CaptureOptions": [{"CaptureMode": "Input"}]}
    return Captured(config, "e", "A", datetime(2025, 1, 1, tzinfo=UTC), Side(b"1", "a/b"), Side(b"2", "a/b"))
