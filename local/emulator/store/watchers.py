"""Who waits for a change of which resource; both stores tell it of each change, so that nobody has to poll."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from emulator.store.port import Kind


class Watchers:
    """Events by resource. Safe to use from several threads."""

    def __init__(self) -> None:
        self._events: dict[tuple[Kind, str], set[threading.Event]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, kind: Kind, name: str) -> Iterator[threading.Event]:
        """An event that is set at every change of the resource within the block; the waiter clears it."""
        event = threading.Event()
        with self._lock:
            self._events.setdefault((kind, name), set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                events = self._events[kind, name]
                events.discard(event)
                if not events:
                    del self._events[kind, name]

    def notify(self, kind: Kind, name: str) -> None:
        """Wake all who watch the resource."""
        with self._lock:
            events = tuple(self._events.get((kind, name), ()))
        for event in events:
            event.set()
