"""Asynchronous invocations: a queue an endpoint, worked off by as many threads as its configuration allows."""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from emulator.lifecycle.async_ends import AGAIN_SECONDS, AsyncEnds, RequestFailed, too_old
from emulator.lifecycle.async_requests import AsyncRequest, RequestFolder
from emulator.lifecycle.endpoint_record import DELETING, FAILED, instances
from emulator.lifecycle.invoking import BadTarget, Invocation, InvocationFailed, Invoker, explain
from emulator.lifecycle.objects import Object, Objects
from emulator.lifecycle.ports import Services, StorageError
from emulator.lifecycle.target import NoneHealthy, Target
from emulator.store.port import Kind, NotFound

_LOG = logging.getLogger(__name__)
LARGEST = 1024**3  # bytes of an input, and of an output


class Targets(Protocol):
    """Where invocations go."""

    def target(self, name: str, variant: str | None, model: str | None = None) -> Target:
        """An instance; raises NotFound, NoneHealthy."""


class NotTaken(Exception):
    """The request was not queued; the message says why."""


class _Ending(Exception):
    """The emulator ends: the request is one for the next start."""


@dataclass
class _Queue:
    """One endpoint's requests."""

    waiting: deque[AsyncRequest] = field(default_factory=deque)
    workers: int = 0
    limit: int = 1  # of workers
    at_once: int = 1  # of an instance; what the latest request said


class AsyncInvocations:
    """All queues. A request is kept in the folder from before it is acknowledged until its end is told.

    What an emulator leaves there, however it ended, the next one invokes, also what had begun: each request is invoked
    at least once, and its output written to the same place again. AWS promises no more, nor an order.
    """

    def __init__(
        self, targets: Targets, invoker: Invoker, objects: Objects, services: Services, folder: RequestFolder
    ) -> None:
        self._targets, self._invoker, self._objects, self._folder = targets, invoker, objects, folder
        self._store, self._clock, self._account = services.store, services.clock, services.account
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._under_way: set[AsyncRequest] = set()
        self._closing = threading.Event()
        self._ends = AsyncEnds(objects, services, folder, self._closing)
        self._over = False  # nobody tells of an end any more

    def resume(self) -> None:
        """Queue what an earlier emulator has left. To be called once, before anything is submitted."""
        for request in self._folder.all():
            try:
                self._queue(request)
            except NotTaken as error:
                _LOG.warning("the asynchronous invocation %s waits for the next start: %s", request.inference_id, error)

    def submit(self, request: AsyncRequest, body: bytes) -> None:
        """Queue it; returns when it is on disk.

        As many of an endpoint's are worked on at the same time as its instances, at least one, times `at_once`; they
        are counted again whenever one begins. Raises NotTaken.
        """
        try:
            self._folder.add(request, body)
        except OSError as error:
            raise NotTaken(f"The request cannot be kept: {error}") from error
        try:
            self._queue(request)
        except NotTaken:
            self._folder.remove(request)
            raise

    def close(self, seconds: float) -> None:
        """Begin nothing more, and wait, at most that long, for what is under way; the rest is for the next start."""
        with self._changed:
            self._closing.set()
            self._queues.clear()
            self._changed.wait_for(lambda: not self._under_way, seconds)
            self._over = True
        if left := self._folder.count():
            _LOG.warning("%d asynchronous invocations are left for the next start", left)

    def _queue(self, request: AsyncRequest) -> None:
        """Raises NotTaken."""
        limit = self._at_once(request.endpoint, request.at_once)
        with self._changed:
            if self._closing.is_set():
                raise NotTaken("The emulator is ending: it takes no more asynchronous requests.")
            queue = self._queues.setdefault(request.endpoint, _Queue())
            queue.waiting.append(request)
            queue.at_once = request.at_once
            self._staff(request.endpoint, queue, limit)
            if not queue.workers:  # so nothing else waits there either
                del self._queues[request.endpoint]
                raise NotTaken("No thread can be started for the request.")

    def _at_once(self, endpoint: str, each: int) -> int:
        """How many of the endpoint's requests may be worked on: while it has no instance one's share waits for it."""
        try:
            return each * max(1, instances(self._store.get(Kind.ENDPOINT, endpoint)))
        except NotFound:  # deleted: what is queued fails of that
            return each

    def _staff(self, endpoint: str, queue: _Queue, limit: int) -> None:
        """Start the workers that are missing, as far as threads can be had. To be called with the lock."""
        queue.limit = limit
        for _ in range(min(limit - queue.workers, len(queue.waiting))):
            name = f"asynchronous invocations of {endpoint}"
            try:
                threading.Thread(target=self._work, args=(endpoint,), name=name, daemon=True).start()
            except RuntimeError as error:
                _LOG.warning("%d threads work on the %s: %s", queue.workers, name, error)
                return
            queue.workers += 1

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
            return queue.waiting.popleft()

    def _follow(self, endpoint: str) -> None:
        """Have as many workers as there may be now: instances have come or gone since the requests came."""
        with self._changed:
            queue = self._queues.get(endpoint)
        if queue is not None:
            limit = self._at_once(endpoint, queue.at_once)
            with self._changed:
                if self._queues.get(endpoint) is queue:
                    self._staff(endpoint, queue, limit)

    def _work(self, endpoint: str) -> None:
        while (request := self._next(endpoint)) is not None:
            target: Target | None = None
            try:
                target = self._target(request)
                with target:
                    self._begin(request)
                    self._follow(endpoint)
                    result: Object | str = self._process(request, target)
            except _Ending:
                return
            except RequestFailed as error:
                result = str(error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours is a failure of the request, too
                _LOG.exception("the asynchronous invocation %s failed", request.inference_id)
                result = f"InternalFailure: {type(error).__name__}"
            try:
                if not self._over:
                    self._ends.tell(request, result, target)
            except Exception:  # noqa: BLE001 - a mistake of ours must not end a worker
                _LOG.exception("the end of the asynchronous invocation %s could not be told", request.inference_id)
            finally:
                with self._changed:
                    self._under_way.discard(request)
                    self._changed.notify_all()

    def _begin(self, request: AsyncRequest) -> None:
        """From now on `close` waits for it. Raises _Ending."""
        with self._changed:
            if self._closing.is_set():
                raise _Ending
            self._under_way.add(request)

    def _target(self, request: AsyncRequest) -> Target:
        """A healthy instance; waits for one as long as the request may wait. Raises RequestFailed, _Ending."""
        while True:
            if too_old(request, self._clock):
                raise RequestFailed(f"The request was in the queue for longer than {request.ttl_seconds:g} seconds.")
            target, there = None, True
            with suppress(NoneHealthy):
                try:
                    target = self._targets.target(request.endpoint, None)
                except NotFound:
                    there = self._may_serve(request.endpoint)
            if not there or self._replaced(request):
                if target is not None:
                    target.release()
                raise RequestFailed(f"Endpoint {request.endpoint} of account {self._account.account_id} not found.")
            if target is not None:
                return target
            if self._clock.wait(self._closing, AGAIN_SECONDS):
                raise _Ending

    def _may_serve(self, endpoint: str) -> bool:
        """Whether the endpoint, which does not serve, is on its way, as after a start of the emulator."""
        try:
            return self._store.get(Kind.ENDPOINT, endpoint).status not in (FAILED, DELETING)
        except NotFound:
            return False

    def _replaced(self, request: AsyncRequest) -> bool:
        """Whether the endpoint of that name is not the one that the request was sent to: that was deleted since."""
        try:
            created = self._store.get(Kind.ENDPOINT, request.endpoint).created
        except NotFound:
            return False
        return request.endpoint_created not in (None, created)

    def _process(self, request: AsyncRequest, target: Target) -> Object:
        try:
            if request.locations.input is None:
                body = self._folder.body(request)
            else:
                body = self._objects.get(request.locations.input, LARGEST).data
        except (StorageError, OSError) as error:
            raise RequestFailed(f"The input of the request cannot be read: {error}") from None
        invocation = Invocation(body, request.headers, seconds=request.timeout_seconds, largest_answer=LARGEST)
        try:
            answer = self._invoker.invoke(target, invocation)
        except BadTarget as error:
            raise RequestFailed(str(error)) from None
        except InvocationFailed as error:
            raise RequestFailed(explain(self._account, error)) from None
        if "content-length" not in answer.headers:
            # AWS's text, as quoted in https://github.com/deepjavalibrary/djl-serving/issues/2567
            raise RequestFailed(
                f"The response from container {target.hops[-1].container} did not specify the required "
                "Content-Length header"
            )
        return Object(answer.body, answer.headers.get("content-type", "application/octet-stream"))
