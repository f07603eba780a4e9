from __future__ import annotations

import threading

from emulator.lifecycle.target import Hop, InFlight, Target


def test_invocations_under_way_are_waited_for() -> None:
    """Draining lasts until the last lease is released, and says whether it was, when the time is over before."""
    in_flight = InFlight()
    hop = Hop("primary", "127.0.0.1:1", "group", "stream")
    first, second = (Target("e", "v", (hop,), lease=in_flight.begin()) for _ in range(2))
    with first:
        assert not in_flight.drain(0)
    first.release()  # a second time: it must not count for the other one
    assert not in_flight.drain(0)
    drained = threading.Event()
    waiter = threading.Thread(target=lambda: in_flight.drain(60) and drained.set())
    waiter.start()
    second.release()
    assert drained.wait(5)
    waiter.join()
