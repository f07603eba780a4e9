"""Lines of containers to CloudWatch Logs: batched in the background, in the limits of PutLogEvents, in nobody's way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from botocore.exceptions import BotoCoreError, ClientError

from emulator.clock import Clock

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
MAX_LINE_BYTES = 256 * 1024 - EVENT_OVERHEAD_BYTES

SEND_EVERY = 0.2  # seconds
_MAX_WAITING = 200_000  # lines; a container that writes faster than they can be sent loses the oldest, and is told


@dataclass
class _Stream:
    """What waits to be sent to one stream."""

    group: str
    name: str
    waiting: deque[tuple[int, str]] = field(default_factory=deque)  # milliseconds, text
    exists: bool = False
    last: int = 0
    lost: int = 0
    sending: bool = False


class CloudWatchLogs:
    """Implements `lifecycle.ports.Logs`. A service that cannot be reached is reported once, and costs lines, no job."""

    def __init__(self, client: Callable[[], Any], clock: Clock, report: Callable[[str], None]) -> None:
        """`client` makes the boto3 `logs` client; it is called once, from the background thread."""
        self._make_client = client
        self._clock = clock
        self._report = report
        self._reported = False
        # Forgotten with whoever writes to them; those that wait are held by the second.
        self._streams: WeakValueDictionary[tuple[str, str], _Stream] = WeakValueDictionary()
        self._unsent: dict[int, _Stream] = {}
        self._changed = threading.Condition()
        self._urgent = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def open(self, group: str, stream: str) -> CloudWatchStream:
        """The stream of that name; group and stream are made when the first line is sent."""
        with self._changed:
            found = self._streams.setdefault((group, stream), _Stream(group, stream))
        return CloudWatchStream(self, found)

    def close(self, seconds: float) -> None:
        """Send what waits, at most that long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def write(self, stream: _Stream, line: str) -> None:
        """Queue a line; one that is too long for an event becomes several."""
        now = int(self._clock.now().timestamp() * 1000)
        with self._changed:
            stream.last = max(stream.last, now)  # events of a batch must be in order, whatever the clock does
            for part in _split(line):
                if len(stream.waiting) >= _MAX_WAITING:
                    stream.waiting.popleft()
                    stream.lost += 1
                stream.waiting.append((stream.last, part))
            self._unsent[id(stream)] = stream
            self._changed.notify_all()

    def flush(self, stream: _Stream, seconds: float) -> None:
        """Wait until nothing of the stream waits any more, at most that long."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not stream.waiting and not stream.sending, timeout=seconds)

    def _run(self) -> None:
        client: Any = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._unsent)
                if not self._unsent:
                    return
                self._changed.wait_for(lambda: self._closed or self._urgent, timeout=SEND_EVERY)
                self._urgent = False
                batches = [(stream, _take_batch(stream)) for stream in self._unsent.values()]
                self._unsent = {key: stream for key, stream in self._unsent.items() if stream.waiting}
            for stream, events in batches:
                try:
                    client = client or self._make_client()
                    self._send(client, stream, events)
                except (BotoCoreError, ClientError) as error:
                    self._report_once(stream, error)
                except Exception as error:  # noqa: BLE001 - this thread must go on whatever a client does
                    self._report_once(stream, error)
                finally:
                    with self._changed:
                        stream.sending = False
                        self._changed.notify_all()

    def _send(self, client: Any, stream: _Stream, events: list[dict[str, Any]]) -> None:
        try:
            self._put(client, stream, events)
        except client.exceptions.ResourceNotFoundException:
            # Deleted by its user, or gone with a LocalStack that has been started again.
            stream.exists = False
            self._put(client, stream, events)

    def _put(self, client: Any, stream: _Stream, events: list[dict[str, Any]]) -> None:
        if not stream.exists:
            with suppress(client.exceptions.ResourceAlreadyExistsException):
                client.create_log_group(logGroupName=stream.group)
            with suppress(client.exceptions.ResourceAlreadyExistsException):
                client.create_log_stream(logGroupName=stream.group, logStreamName=stream.name)
            stream.exists = True
        client.put_log_events(logGroupName=stream.group, logStreamName=stream.name, logEvents=events)

    def _report_once(self, stream: _Stream, error: Exception) -> None:
        if not self._reported:
            self._reported = True
            self._report(f"CloudWatch Logs cannot be written ({stream.group} {stream.name}); lines are lost: {error}")


class CloudWatchStream:
    """Implements `lifecycle.ports.LogStream`."""

    def __init__(self, logs: CloudWatchLogs, stream: _Stream) -> None:
        self._logs = logs
        self._stream = stream

    def write(self, line: str) -> None:
        """Add a line, without its newline; returns at once."""
        self._logs.write(self._stream, line)

    def flush(self, seconds: float) -> None:
        """Wait, at most that long, until everything written so far can be read."""
        self._logs.flush(self._stream, seconds)


def _split(line: str) -> list[str]:
    """The line in parts that fit an event. An event must not be empty: an empty line is a blank."""
    if len(line) * 4 <= MAX_LINE_BYTES:
        return [line or " "]
    raw = line.encode("utf-8", "replace")
    parts = [raw[i : i + MAX_LINE_BYTES] for i in range(0, len(raw), MAX_LINE_BYTES)]
    return [part.decode("utf-8", "ignore") for part in parts]  # a character on the seam is lost


def _take_batch(stream: _Stream) -> list[dict[str, Any]]:
    """As many of the waiting lines as one PutLogEvents takes, oldest first."""
    events: list[dict[str, Any]] = []
    if stream.lost:
        text = f"[emulator] {stream.lost} lines came faster than CloudWatch Logs took them and were dropped here"
        events.append({"timestamp": stream.waiting[0][0], "message": text})
        stream.lost = 0
    size = 1024  # room for that line
    while stream.waiting and len(events) < MAX_EVENTS:
        time, text = stream.waiting[0]
        size += len(text.encode("utf-8", "replace")) + EVENT_OVERHEAD_BYTES
        if size > MAX_BATCH_BYTES and events:
            break
        stream.waiting.popleft()
        events.append({"timestamp": time, "message": text})
    stream.sending = True
    return events
