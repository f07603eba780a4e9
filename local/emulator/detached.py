"""Starts an emulator that outlives this process, and waits until it is ready."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

_POLL_SECONDS = 0.05


class StartFailed(Exception):
    """It ended before it was ready; the message says where its log is."""


def start(arguments: Sequence[str], log: Path, report: Callable[[str], None]) -> None:
    """Start it in a session of its own; what it logs until it is ready goes to `report`, too. Raises StartFailed.

    Ctrl-C while it waits ends what was started, too.
    """
    with log.open("ab", buffering=0) as file:
        begin = file.seek(0, 2)
        child = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,  # a Ctrl-C here, or the end of this terminal, is nothing to it
        )
    done = threading.Event()
    follower = threading.Thread(target=_follow, args=(log, begin, report, done), daemon=True)
    follower.start()
    assert child.stdout is not None  # noqa: S101 - it was started with one
    try:
        line = child.stdout.readline()  # the one line that it prints when it is ready
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    finally:
        done.set()
        follower.join()
    if not line:
        raise StartFailed(f"exit status {child.wait()}; its log: {log}")


def _follow(log: Path, begin: int, report: Callable[[str], None], done: threading.Event) -> None:
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        while True:
            finished = done.is_set()
            for line in file:
                report(line.rstrip("\n"))
            if finished:
                return
            done.wait(_POLL_SECONDS)
