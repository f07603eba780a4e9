"""How an asynchronous invocation ends: its output, or the reason why there is none, in S3 and in the log."""

from __future__ import annotations

import logging
import threading

from emulator.clock import Clock
from emulator.lifecycle.async_requests import AsyncRequest, RequestFolder
from emulator.lifecycle.objects import Object, Objects
from emulator.lifecycle.ports import LogStream, Services, StorageError
from emulator.lifecycle.target import Target

_LOG = logging.getLogger(__name__)
_TRIES = 3  # of writing to S3
AGAIN_SECONDS = 1.0  # between two of them, and between two looks for a healthy container


class RequestFailed(Exception):
    """The request ends with a failure; the message is what the failure object says."""


def too_old(request: AsyncRequest, clock: Clock) -> bool:
    """Whether it came longer ago than its RequestTTLSeconds."""
    return (clock.now() - request.queued).total_seconds() > request.ttl_seconds


class AsyncEnds:
    """Tells of ends; from then on a request is not in the folder any more."""

    def __init__(self, objects: Objects, services: Services, folder: RequestFolder, closing: threading.Event) -> None:
        """`closing` is set when the emulator ends."""
        self._objects, self._folder, self._closing = objects, folder, closing
        self._logs, self._clock = services.logs, services.clock
        self._lock = threading.Lock()
        self._streams: dict[tuple[str, str], LogStream] = {}

    def tell(self, request: AsyncRequest, result: Object | str, target: Target | None) -> None:
        """Write the output, or why there is none, which is the request's end.

        While S3 takes neither, or would not have it after kill -9, it is tried again, as long as the request may live;
        when the emulator ends meanwhile, the next one begins anew.
        """
        reason, warned = self._written(request, result), False
        while reason is None:
            if self._clock.wait(self._closing, AGAIN_SECONDS):
                return
            if too_old(request, self._clock):
                unwritten = f"The output could not be written within {request.ttl_seconds:g} seconds."
                reason = result if isinstance(result, str) else unwritten
                _LOG.error("%s is given up, and its end is not kept in S3: %s", request.inference_id, reason)
                break
            if not warned:
                _LOG.warning("the end of %s cannot be told at the moment: trying again", request.inference_id)
            warned, reason = True, self._written(request, result)
        if reason and target is not None:
            self._log(target, request, reason)
        self._folder.remove(request)

    def _written(self, request: AsyncRequest, result: Object | str) -> str | None:
        """The failure that the request has ended with, empty for an output; None when it is still to be told."""
        try:
            if isinstance(result, Object):
                self._put(request.locations.output, result)
                return "" if self._objects.kept(request.locations.output) else None
        except RequestFailed as error:
            if self._closing.is_set() or request.locations.failure is None:
                return None
            result = str(error)
        if request.locations.failure is not None:
            try:
                self._put(request.locations.failure, Object(result.encode(), "text/plain"))
            except RequestFailed:
                return None
            if not self._objects.kept(request.locations.failure):
                return None
        return result

    def _log(self, target: Target, request: AsyncRequest, reason: str) -> None:
        """Write a failure to the endpoint's data log."""
        now = self._clock.now()
        line = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}:[sagemaker logs] [{request.inference_id}] "
        self._stream(target).write(line + reason)

    def _put(self, uri: str, content: Object) -> None:
        for number in range(_TRIES):
            try:
                self._objects.put(uri, content)
                return
            except StorageError as error:
                if number + 1 == _TRIES or self._clock.wait(self._closing, AGAIN_SECONDS):
                    raise RequestFailed(f"The output of the request cannot be written: {error}") from None

    def _stream(self, target: Target) -> LogStream:
        key = (target.log_group, f"{target.log_stream}/data-log")
        with self._lock:
            if key not in self._streams:
                self._streams[key] = self._logs.open(*key)
            return self._streams[key]
