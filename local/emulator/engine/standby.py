"""Servers that wait for the next endpoint with their libraries imported, which is most of what a start takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from emulator.engine.processes import TOKEN_VARIABLE, Program
from emulator.images import ImageDefinition

# What a library may read while it is imported is too late for a server that has imported it. These it does not read.
HARMLESS = ("AWS_", "SAGEMAKER_")


def suits(environment: Mapping[str, str]) -> bool:
    """Whether a container with these variables of its own may be one that has started already."""
    return all(name.startswith(HARMLESS) for name in environment)


class Spares:
    """At most one waiting server an image. Safe to use from several threads."""

    def __init__(self, start: Callable[[ImageDefinition], Program]) -> None:
        """`start` starts the image's standby command, with a pipe for its stdin; it may raise OSError."""
        self._start = start
        self._waiting: dict[str, Program] = {}
        self._lock = threading.Lock()
        self._closed = False

    def begin(self, definition: ImageDefinition) -> None:
        """Start one, unless one waits already. Does not wait until it is ready."""
        with self._lock:
            waiting = self._waiting.get(definition.name)
            if self._closed or (waiting is not None and waiting.popen.poll() is None):
                return
            with suppress(OSError):  # then the next endpoint starts from nothing, and says what is wrong
                self._waiting[definition.name] = self._start(definition)

    def take(
        self, definition: ImageDefinition, name: str, environment: Mapping[str, str], folder: Path
    ) -> Program | None:
        """Make the one that waits the work of that name, with this environment and folder; None when there is none."""
        with self._lock:
            program = self._waiting.pop(definition.name, None)
        if program is None:
            return None
        told = {"environment": {**environment, TOKEN_VARIABLE: program.token}, "folder": str(folder)}
        stdin = program.popen.stdin
        assert stdin is not None  # noqa: S101 - it was started with one
        try:
            with stdin:
                stdin.write(json.dumps(told).encode() + b"\n")
        except OSError:  # it has ended
            program.end(0)
            return None
        program.rename(name)
        return program

    def close(self) -> None:
        """End those that wait, and start no more. Idempotent."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for program in waiting:
            program.end(0)
            for pipe in (program.popen.stdin, program.popen.stdout):
                if pipe is not None:
                    pipe.close()
