"""Ctrl-C, SIGTERM and a closed terminal as one exception, so that what was made is removed; and a shield for that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The run was told to end. Not an Exception: nothing that handles errors may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


_raised: list[Interrupted] = []  # by the handler, in this process


def install() -> None:
    """The first of the signals raises Interrupted in the main thread; later ones find the clean-up at work.

    One that is ignored (nohup) stays so.
    """
    _raised.clear()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        _set(_answer)
        _raised.append(Interrupted(number))
        raise _raised[0]

    _set(interrupt)


@contextmanager
def not_swallowed() -> Iterator[None]:
    """Raise Interrupted after the body when the body caught it: `finally: return` does, without a word."""
    try:
        yield
    finally:
        if _raised:
            raise _raised[0]


@contextmanager
def shielded() -> Iterator[None]:
    """Let nothing interrupt the body: a signal is answered with a line. The body must be bounded in time."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    _set(_answer)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _set(handler: Handler) -> None:
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)


def _answer(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):  # not through a stream, which the signal may have found in the middle of a write
        os.write(2, b"already cleaning up; this ends by itself\n")
