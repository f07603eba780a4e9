"""Servers that wait for the next endpoint with their libraries imported, which is most of what a start takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from emulator.engine.processes import TOKEN_VARIABLE, Program

# What a library may read while it is imported is too late for a server that has imported it. These it does not read.
HARMLESS = ("AWS_", "SAGEMAKER_")

Kind = tuple[str, ...]


def suits(environment: Mapping[str, str]) -> bool:
    """Whether a container with these variables of its own may be one that has started already."""
    return all(name.startswith(HARMLESS) for name in environment)


class Spares:
    """At most one waiting server of each kind: what differs in anything but what it can be told is another kind.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._waiting: dict[Kind, Program] = {}
        self._lock = threading.Lock()
        self._closed = False

    def begin(self, kind: Kind, start: Callable[[], Program]) -> None:
        """Start one, with a pipe for its stdin, unless one waits already. Does not wait until it is ready."""
        with self._lock:
            waiting = self._waiting.get(kind)
            if self._closed or (waiting is not None and waiting.popen.poll() is None):
                return
            if waiting is not None:
                _give_up(self._waiting.pop(kind))
            with suppress(OSError):  # then the next endpoint starts from nothing, and says what is wrong
                self._waiting[kind] = start()

    def take(self, kind: Kind, name: str, environment: Mapping[str, str], folder: Path) -> Program | None:
        """Make the one that waits the work of that name, with this environment and folder; None when there is none."""
        with self._lock:
            program = self._waiting.pop(kind, None)
        if program is None:
            return None
        told = {"environment": {**environment, TOKEN_VARIABLE: program.token}, "folder": str(folder)}
        stdin = program.popen.stdin
        assert stdin is not None  # noqa: S101 - it was started with one
        try:
            program.rename(name)
            with stdin:
                stdin.write(json.dumps(told).encode() + b"\n")
        except OSError:  # it has ended, or nothing can be written down of it
            _give_up(program)
            return None
        return program

    def close(self) -> None:
        """End those that wait, and start no more. Idempotent."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for program in waiting:
            _give_up(program)


def _give_up(program: Program) -> None:
    program.end(0)
    for pipe in (program.popen.stdin, program.popen.stdout):
        if pipe is not None:
            with suppress(OSError):  # what could not be written to it
                pipe.close()
