"""Describe of something in transition is held back until it changes, so that clients that poll slowly lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Collection

from emulator import caller
from emulator.clock import Clock
from emulator.store.port import Kind, NotFound, Resource, Store

HOLD_SECONDS = 5.0  # clients give up on an answer after a minute (boto3), some after ten seconds
SLOW_SECONDS = 2.0  # who asks more often than this sees a change soon enough by itself
MOST_HELD = 48  # each holds a thread of the server, which has others to answer


class Holds:
    """Decides who is held back, and holds them; one for all requests."""

    def __init__(self, seconds: float = HOLD_SECONDS, most: int = MOST_HELD) -> None:
        """`seconds`: the longest that a request is held; 0 holds none."""
        self._seconds = seconds
        self._free = threading.Semaphore(most)
        self._answered: dict[tuple[Kind, str], float] = {}  # resources in transition: when the last Describe was
        self._lock = threading.Lock()
        self._held: set[threading.Event] = set()
        self._closed = False

    def settled(self, store: Store, clock: Clock, kind: Kind, name: str, in_transition: Collection[str]) -> Resource:
        """The resource, once its status has changed or is none of those, or the time is over. Raises NotFound.

        Held is the first Describe of a resource in transition, one that comes `SLOW_SECONDS` or more after the last
        one was answered, and every one of a client that says that it is a waiter.
        """
        with store.watch(kind, name) as changed:  # before the first look, so that no change is missed
            try:
                resource = store.get(kind, name)
                if self._seconds > 0 and resource.status in in_transition and self._slow(clock, resource):
                    resource = self._hold(store, clock, resource, changed)
            except NotFound:
                self._forget(kind, name)
                raise
        if resource.status in in_transition:
            with self._lock:
                self._answered[kind, name] = clock.monotonic()
        else:
            self._forget(kind, name)
        return resource

    def close(self) -> None:
        """Answer all who are held, and hold nobody any more."""
        with self._lock:
            self._closed = True
            held = tuple(self._held)
        for event in held:
            event.set()

    def _forget(self, kind: Kind, name: str) -> None:
        with self._lock:
            self._answered.pop((kind, name), None)

    def _slow(self, clock: Clock, resource: Resource) -> bool:
        with self._lock:
            last = self._answered.get((resource.kind, resource.name))
        return last is None or clock.monotonic() - last >= SLOW_SECONDS or caller.is_waiter()

    def _hold(self, store: Store, clock: Clock, resource: Resource, changed: threading.Event) -> Resource:
        if not self._free.acquire(blocking=False):
            return resource
        with self._lock:
            self._held.add(changed)
        try:
            return self._changed(store, clock, resource, changed)
        finally:
            with self._lock:
                self._held.discard(changed)
            self._free.release()

    def _changed(self, store: Store, clock: Clock, resource: Resource, changed: threading.Event) -> Resource:
        deadline = clock.monotonic() + self._seconds
        current = resource
        while (current.status, current.created) == (resource.status, resource.created):
            left = deadline - clock.monotonic()
            if self._closed or left <= 0 or not clock.wait(changed, left):
                break
            changed.clear()  # before the look: a change after it sets it again
            current = store.get(resource.kind, resource.name)
        return current
