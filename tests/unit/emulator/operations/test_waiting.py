"""Who is held back, and until when; the time is the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from emulator import caller
from emulator.clock import FakeClock
from emulator.operations.waiting import Holds
from emulator.store.memory import MemoryStore
from emulator.store.port import Change, Kind, NotFound, Resource

NOW = datetime(2025, 1, 1, tzinfo=UTC)
WAITER = "Boto3/1.40 md/Botocore#1.44 ua/2.1 os/linux m/D,B,Z cfg/retry-mode#legacy"
NO_WAITER = "Boto3/1.40 md/Botocore#1.44 ua/2.1 os/linux md/B m/D,Z cfg/retry-mode#legacy"


class Desk:
    """A store with one endpoint, and requests that ask for it on threads of their own."""

    def __init__(self, seconds: float = 5.0, most: int = 24) -> None:
        self.store, self.clock, self.holds = MemoryStore(), FakeClock(), Holds(seconds, most)
        self.store.create(Resource(Kind.ENDPOINT, "e", "arn:e", NOW, NOW, {}, "Creating"), {})
        self.held: list[threading.Thread] = []
        self.answers: list[Any] = []

    def ask(self, user_agent: str = "") -> Resource:
        """What a Describe is answered."""
        caller.user_agent.set(user_agent)
        return self.holds.settled(self.store, self.clock, Kind.ENDPOINT, "e", ("Creating", "Deleting"))

    def start(self, user_agent: str = "") -> threading.Thread:
        """The same on another thread; the answer comes to `answers`."""

        def answer() -> None:
            try:
                self.answers.append(self.ask(user_agent).status)
            except NotFound:
                self.answers.append("gone")

        thread = threading.Thread(target=answer)
        self.held.append(thread)
        thread.start()
        return thread

    def wait_for_held(self, number: int, poll: Callable[..., Any]) -> None:
        """Until so many requests are held."""
        poll(lambda: len(self.holds._held) == number, f"{number} held requests")

    def change(self, status: str | None = None) -> None:
        """Another status, or only another document."""
        self.store.change(self.store.get(Kind.ENDPOINT, "e"), Change(NOW, status, {"More": 1}))

    def poll_quickly(self) -> None:
        """Have the first Describe over and done with."""
        thread = self.start()
        while thread.is_alive():
            self.clock.advance(5)
            thread.join(0.005)
        self.answers.clear()


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    """Makes desks whose requests are all answered at the end."""
    made: list[Desk] = []

    def make(*arguments: Any) -> Desk:
        made.append(Desk(*arguments))
        return made[-1]

    yield make
    for each in made:
        each.holds.close()
        for thread in each.held:
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def poll() -> Callable[..., Any]:
    """Look until a condition holds."""
    import time

    def look(condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, f"no {what}"
            threading.Event().wait(0.001)

    return look


def test_the_first_describe_waits_for_the_change(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """It is answered with the new status, without a second of the clock gone by; other changes do not answer it."""
    made = desk()
    thread = made.start()
    made.wait_for_held(1, poll)
    made.change()
    assert thread.is_alive()
    made.change("InService")
    thread.join(5)
    assert made.answers == ["InService"]
    assert made.clock.monotonic() == 0


def test_it_waits_no_longer_than_that(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """After the hold's seconds the answer is the status as it is."""
    made = desk()
    thread = made.start()
    made.wait_for_held(1, poll)
    made.clock.advance(4.9)
    assert thread.is_alive()
    made.clock.advance(0.2)
    thread.join(5)
    assert made.answers == ["Creating"]


def test_who_asks_often_is_answered_at_once(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """After the first: again within two seconds is no wait; after two seconds it is one."""
    made = desk()
    made.poll_quickly()
    for _ in range(3):
        made.clock.advance(1.9)
        assert made.ask().status == "Creating"
        assert made.ask(NO_WAITER).status == "Creating"
    made.clock.advance(2)
    made.start()
    made.wait_for_held(1, poll)


def test_a_waiter_is_always_held(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """Botocore's waiters say in the User-Agent that they are waiters."""
    made = desk()
    made.poll_quickly()
    thread = made.start(WAITER)
    made.wait_for_held(1, poll)
    made.change("Failed")
    thread.join(5)
    assert made.answers == ["Failed"]


def test_what_is_deleted_meanwhile_is_gone(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """The waiter for a deletion gets its error as soon as the resource is removed."""
    made = desk()
    made.change("Deleting")
    thread = made.start()
    made.wait_for_held(1, poll)
    made.store.delete(made.store.get(Kind.ENDPOINT, "e"))
    thread.join(5)
    assert made.answers == ["gone"]


def test_what_is_settled_is_answered_at_once(desk: Callable[..., Desk]) -> None:
    """Also to a waiter; and a resource that is not there is no wait."""
    made = desk()
    made.change("InService")
    assert made.ask(WAITER).status == "InService"
    made.store.delete(made.store.get(Kind.ENDPOINT, "e"))
    with pytest.raises(NotFound):
        made.ask(WAITER)


def test_zero_seconds_hold_nobody(desk: Callable[..., Desk]) -> None:
    """The option switches it off."""
    assert desk(0.0).ask(WAITER).status == "Creating"


def test_not_more_are_held_than_that(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """Each takes a thread of the server; who comes when all are taken is answered at once."""
    made = desk(5.0, 2)
    made.start()
    made.start(WAITER)
    made.wait_for_held(2, poll)
    assert made.ask(WAITER).status == "Creating"


def test_at_the_end_all_are_answered(desk: Callable[..., Desk], poll: Callable[..., Any]) -> None:
    """An emulator that stops does not wait for those whom it holds."""
    made = desk()
    threads = [made.start(), made.start()]
    made.wait_for_held(2, poll)
    made.holds.close()
    for thread in threads:
        thread.join(5)
    assert made.answers == ["Creating", "Creating"]
    assert made.ask(WAITER).status == "Creating"
