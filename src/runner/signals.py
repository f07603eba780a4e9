"""Ctrl-C and SIGTERM as exceptions, so that what was made is removed; and a shield for the removal itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The run was told to end. Not an Exception: nothing that handles errors may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


def install() -> None:
    """From now on either signal raises Interrupted in the main thread."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for each in SIGNALS:
        signal.signal(each, interrupt)


@contextmanager
def shielded(say: Callable[[str], None]) -> Iterator[None]:
    """Let nothing interrupt the body: a second Ctrl-C is answered with a line. The body must be bounded in time."""

    def answer(_number: int, _frame: FrameType | None) -> None:
        say("already cleaning up; this ends by itself")

    before = {each: signal.signal(each, answer) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
