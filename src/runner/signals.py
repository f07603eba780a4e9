"""Ctrl-C, SIGTERM and a closed terminal as exceptions, so that what was made is removed; a shield for the removal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The run was told to end. Not an Exception: nothing that handles errors may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


def install() -> None:
    """From now on each of the signals raises Interrupted in the main thread; one that is ignored (nohup) stays so."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for each in _heeded():
        signal.signal(each, interrupt)


@contextmanager
def shielded(say: Callable[[str], None]) -> Iterator[None]:
    """Let nothing interrupt the body: a second Ctrl-C is answered with a line. The body must be bounded in time."""

    def answer(_number: int, _frame: FrameType | None) -> None:
        say("already cleaning up; this ends by itself")

    before = {each: signal.signal(each, answer) for each in _heeded()}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _heeded() -> list[signal.Signals]:
    return [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
