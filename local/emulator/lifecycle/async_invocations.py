"""Asynchronous invocations: a queue an endpoint, worked off by as many threads as its configuration allows."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
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
LARGEST_QUEUE = 256 * 1024**2  # bytes of all bodies that came with requests and are held; AWS has no such limit
_WRITERS, _TO_END = 8, 2 / 3  # at an end: threads that write failure objects; the share of the time for what runs
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


class NotTaken(Exception):
    """The request was not queued; the message says why."""


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
        # A request is in one of these three: worked on; ended by `close`; its end is being told, by one thread.
        self._running: set[AsyncRequest] = set()
        self._left: deque[AsyncRequest] = deque()
        self._telling: set[AsyncRequest] = set()
        self._bytes = self._untold = 0
        self._streams: dict[tuple[str, str], LogStream] = {}
        self._closing = threading.Event()

    def submit(self, request: AsyncRequest, at_once: Callable[[], int]) -> None:
        """Queue it; returns at once.

        At most `at_once()` (1 or more) of the endpoint's are worked on at the same time; it is asked again whenever one
        begins, since instances come and go. Raises NotTaken.
        """
        limit = at_once()
        with self._changed:
            if self._closing.is_set():
                raise NotTaken("The emulator is ending: it takes no more asynchronous requests.")
            if request.body and self._bytes + len(request.body) > LARGEST_QUEUE:
                raise NotTaken(
                    f"The emulator holds at most {LARGEST_QUEUE // 1024**2} MB of requests' bodies, and has them: "
                    "send it again later, or put the input into S3 (InputLocation)."
                )
            self._bytes += len(request.body)
            queue = self._queues.setdefault(request.endpoint, _Queue())
            queue.waiting.append(request)
            queue.at_once = at_once
            self._staff(request.endpoint, queue, limit)

    def close(self, seconds: float) -> int:
        """Take nothing more, and end within that time; how many requests were left without an object.

        What runs has two thirds of it to end; all else ends with a failure object, as many as can be written in time.
        """
        # Not by the clock: containers and S3 are waited for, and those go by the real time.
        deadline = time.monotonic() + seconds
        with self._changed:
            self._closing.set()
            not_begun = [request for queue in self._queues.values() for request in queue.waiting]
            self._queues.clear()
            self._give_up(not_begun)
            self._changed.wait_for(lambda: not self._running, seconds * _TO_END)
            self._give_up(self._running)
            self._running.clear()
            self._changed.wait_for(lambda: not self._left and not self._telling, deadline - time.monotonic())
            untold = self._untold + len(self._left) + len(self._telling)
            self._left.clear()
            self._untold = 0
        if untold:
            _LOG.warning("%d asynchronous invocations ended without an object", untold)
        return untold

    def _give_up(self, requests: Collection[AsyncRequest]) -> None:
        """Begin to tell of the end of these. To be called with the lock."""
        self._left.extend(requests)
        for _ in range(min(_WRITERS, len(requests))):
            threading.Thread(target=self._tell_left, name="asynchronous invocations that end", daemon=True).start()

    def _tell_left(self) -> None:
        while True:
            with self._changed:
                if not self._left:
                    return
                request = self._left.popleft()
                self._telling.add(request)
            self._tell(request, ENDED, None)

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
                    result: Object | str = self._process(request, target)
            except _Failed as error:
                result = str(error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours is a failure of the request, too
                _LOG.exception("the asynchronous invocation %s failed", request.inference_id)
                result = f"InternalFailure: {type(error).__name__}"
            if self._claim(request):
                self._tell(request, result, target)

    def _claim(self, request: AsyncRequest) -> bool:
        """Whether its end is the caller's to tell: from then on `close` does not, and before it may have."""
        with self._changed:
            if request not in self._running:
                return False
            self._running.remove(request)
            self._telling.add(request)
            self._changed.notify_all()
            return True

    def _tell(self, request: AsyncRequest, result: Object | str, target: Target | None) -> None:
        """Write the output, or why there is none. Whoever calls it has put the request among those that are told of."""
        told = False
        try:
            if isinstance(result, Object):
                try:
                    self._put(request.locations.output, result)
                    told = True
                    return
                except _Failed as error:
                    result = str(error)
            told = self._fail(request, result, target)
        except Exception:  # noqa: BLE001 - a mistake of ours must not end a worker
            _LOG.exception("the end of the asynchronous invocation %s could not be told", request.inference_id)
        finally:
            with self._changed:
                self._telling.discard(request)
                self._bytes -= len(request.body)
                self._untold += self._closing.is_set() and not told
                self._changed.notify_all()

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

    def _fail(self, request: AsyncRequest, reason: str, target: Target | None) -> bool:
        """Tell of a failure: in the endpoint's data log, and as an object where there is a place for it; whether so."""
        if target is not None:
            now = self._clock.now()
            line = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}:[sagemaker logs] [{request.inference_id}] "
            self._stream(target).write(line + reason)
        if request.locations.failure is None:
            return False
        try:
            self._put(request.locations.failure, Object(reason.encode(), "text/plain"))
        except _Failed as error:
            if not self._closing.is_set():  # `close` says how many
                _LOG.warning("the failure of %s could not be told: %s", request.inference_id, error)
            return False
        return True

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
