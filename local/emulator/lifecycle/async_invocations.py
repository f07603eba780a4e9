"""Asynchronous invocations: a queue an endpoint, worked off by as many threads as its configuration allows."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from emulator.account import Account
from emulator.clock import Clock
from emulator.lifecycle.invoking import BadTarget, Invocation, InvocationFailed, Invoker, explain
from emulator.lifecycle.objects import Object, Objects
from emulator.lifecycle.ports import Logs, LogStream, StorageError
from emulator.lifecycle.target import NoneHealthy, Target
from emulator.store.port import NotFound

_LOG = logging.getLogger(__name__)
LARGEST = 1024**3  # bytes of an input, and of an output
_TRIES, _AGAIN_SECONDS = 3, 1.0  # of writing to S3; between two looks for a healthy container
ENDED = "The emulator ended before the request was processed."


class Targets(Protocol):
    """Where invocations go."""

    def target(self, name: str, variant: str | None, model: str | None = None) -> Target:
        """An instance; raises NotFound, NoneHealthy."""


@dataclass(frozen=True)
class Locations:
    """S3 URIs of one request."""

    input: str | None  # None: the body came with the request
    output: str
    failure: str | None


@dataclass(frozen=True, eq=False)
class AsyncRequest:
    """What was asked for."""

    inference_id: str
    endpoint: str
    locations: Locations
    headers: Mapping[str, str]
    body: bytes = b""
    ttl_seconds: float = 21600.0
    timeout_seconds: float = 900.0
    queued: float = 0.0  # the clock's monotonic time


class _Failed(Exception):
    """The request ends with a failure; the message is what the failure object says."""


@dataclass
class _Queue:
    """One endpoint's requests."""

    waiting: deque[AsyncRequest] = field(default_factory=deque)
    workers: int = 0
    limit: int = 1  # of workers: what `at_once` said last
    at_once: Callable[[], int] = lambda: 1


class AsyncInvocations:
    """All queues. Nothing is on disk: what a killed emulator had queued is gone."""

    def __init__(
        self, targets: Targets, invoker: Invoker, objects: Objects, logs: Logs, clock: Clock, account: Account
    ) -> None:
        self._targets, self._invoker, self._objects = targets, invoker, objects
        self._logs, self._clock, self._account = logs, clock, account
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._running: set[AsyncRequest] = set()
        self._streams: dict[tuple[str, str], LogStream] = {}
        self._closing = threading.Event()

    def submit(self, request: AsyncRequest, at_once: Callable[[], int]) -> None:
        """Queue it; returns at once.

        At most `at_once()` (1 or more) of the endpoint's are worked on at the same time; it is asked again whenever one
        begins, since instances come and go.
        """
        limit = at_once()
        with self._changed:
            queue = self._queues.setdefault(request.endpoint, _Queue())
            queue.waiting.append(request)
            queue.at_once = at_once
            self._staff(request.endpoint, queue, limit)

    def close(self, seconds: float) -> None:
        """Give what runs that time to end; what has not ended by then, or not begun, ends with a failure object."""
        self._closing.set()
        with self._changed:
            left = [request for queue in self._queues.values() for request in queue.waiting]
            self._queues.clear()
            self._changed.wait_for(lambda: not self._running, seconds)
            left += self._running
            self._running.clear()
        for request in left:
            self._fail(request, ENDED, None)

    def _staff(self, endpoint: str, queue: _Queue, limit: int) -> None:
        """Start the workers that are missing. To be called with the lock."""
        queue.limit = limit
        for _ in range(min(limit - queue.workers, len(queue.waiting))):
            queue.workers += 1
            name = f"asynchronous invocations of {endpoint}"
            threading.Thread(target=self._work, args=(endpoint,), name=name, daemon=True).start()

    def _next(self, endpoint: str) -> AsyncRequest | None:
        """What a worker does next; None when it is to end."""
        with self._changed:
            queue = self._queues.get(endpoint)
            if queue is None:
                return None
            if not queue.waiting or queue.workers > queue.limit:
                queue.workers -= 1
                if not queue.workers:
                    del self._queues[endpoint]
                return None
            request = queue.waiting.popleft()
            self._running.add(request)
            return request

    def _follow(self, endpoint: str) -> None:
        """Have as many workers as there may be now: instances have come or gone since the requests came."""
        with self._changed:
            queue = self._queues.get(endpoint)
        if queue is not None:
            limit = queue.at_once()
            with self._changed:
                if self._queues.get(endpoint) is queue:
                    self._staff(endpoint, queue, limit)

    def _work(self, endpoint: str) -> None:
        while (request := self._next(endpoint)) is not None:
            target: Target | None = None
            try:
                target = self._target(request)
                with target:
                    self._follow(endpoint)
                    output = self._process(request, target)
                if self._ends(request):
                    self._put(request.locations.output, output)
            except _Failed as error:
                if self._ends(request):
                    self._fail(request, str(error), target)
            except Exception as error:  # noqa: BLE001 - a mistake of ours is a failure of the request, too
                _LOG.exception("the asynchronous invocation %s failed", request.inference_id)
                if self._ends(request):
                    self._fail(request, f"InternalFailure: {type(error).__name__}", target)
            finally:
                with self._changed:
                    self._running.discard(request)
                    self._changed.notify_all()

    def _ends(self, request: AsyncRequest) -> bool:
        """Whether its end is still to be told: `close` may have done so."""
        with self._changed:
            return request in self._running

    def _target(self, request: AsyncRequest) -> Target:
        """A healthy instance; waits for one as long as the request may wait. Raises _Failed."""
        while True:
            if self._clock.monotonic() - request.queued > request.ttl_seconds:
                raise _Failed(f"The request was in the queue for longer than {request.ttl_seconds:g} seconds.")
            try:
                return self._targets.target(request.endpoint, None)
            except NotFound:
                raise _Failed(f"Endpoint {request.endpoint} of account {self._account.account_id} not found.") from None
            except NoneHealthy:
                if self._clock.wait(self._closing, _AGAIN_SECONDS):
                    raise _Failed(ENDED) from None

    def _process(self, request: AsyncRequest, target: Target) -> Object:
        body = request.body
        if request.locations.input is not None:
            try:
                body = self._objects.get(request.locations.input, LARGEST).data
            except StorageError as error:
                raise _Failed(f"The input of the request cannot be read: {error}") from None
        invocation = Invocation(body, request.headers, seconds=request.timeout_seconds, largest_answer=LARGEST)
        try:
            answer = self._invoker.invoke(target, invocation)
        except BadTarget as error:
            raise _Failed(str(error)) from None
        except InvocationFailed as error:
            raise _Failed(explain(self._account, error)) from None
        if "content-length" not in answer.headers:
            # AWS's text, as quoted in https://github.com/deepjavalibrary/djl-serving/issues/2567
            raise _Failed(
                f"The response from container {target.hops[-1].container} did not specify the required "
                "Content-Length header"
            )
        return Object(answer.body, answer.headers.get("content-type", "application/octet-stream"))

    def _fail(self, request: AsyncRequest, reason: str, target: Target | None) -> None:
        """Tell of a failure: in the endpoint's data log, and as an object where there is a place for it."""
        if target is not None:
            now = self._clock.now()
            line = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}:[sagemaker logs] [{request.inference_id}] "
            self._stream(target).write(line + reason)
        if request.locations.failure is None:
            return
        try:
            self._put(request.locations.failure, Object(reason.encode(), "text/plain"))
        except _Failed as error:
            _LOG.warning("the failure of %s could not be told: %s", request.inference_id, error)

    def _put(self, uri: str, content: Object) -> None:
        for number in range(_TRIES):
            try:
                self._objects.put(uri, content)
                return
            except StorageError as error:
                if number + 1 == _TRIES or self._clock.wait(self._closing, _AGAIN_SECONDS):
                    raise _Failed(f"The output of the request cannot be written: {error}") from None

    def _stream(self, target: Target) -> LogStream:
        key = (target.log_group, f"{target.log_stream}/data-log")
        with self._changed:
            if key not in self._streams:
                self._streams[key] = self._logs.open(*key)
            return self._streams[key]
