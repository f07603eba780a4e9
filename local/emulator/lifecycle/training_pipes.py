"""Pipe mode: a channel's data comes through named pipes, CHANNEL_0 for the first epoch, CHANNEL_1 for the next, ….

Source: "Using Pipe mode" in AWS's developer guide. A pipe that a program closes early ends that epoch.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from emulator.lifecycle.ports import StorageError

OPEN_SECONDS = 0.02  # between two looks whether somebody reads
Epoch = Callable[[int], Iterator[bytes]]  # the data of an epoch (0, 1, …); raises StorageError


class Pipe:
    """One channel of one host."""

    def __init__(self, folder: Path, channel: str, epoch: Epoch, failed: Callable[[], None]) -> None:
        """`failed` is called when the data cannot be had; `error` says why."""
        self.error: StorageError | None = None
        self._folder = folder
        self._channel = channel
        self._epoch = epoch
        self._failed = failed
        self._over = threading.Event()
        self._make(0)
        self._thread = threading.Thread(target=self._run, name=f"pipe {channel}", daemon=True)

    def begin(self) -> None:
        """Write to whoever reads."""
        self._thread.start()

    def close(self) -> None:
        """To be called when nothing runs any more that could read."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        number = 0
        while (descriptor := self._opened(number)) is not None:
            self._make(number + 1)  # whoever sees this one's end may open the next at once
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as pipe:
                    for chunk in self._epoch(number):
                        _write(pipe.fileno(), chunk)
            except BrokenPipeError:
                pass
            except StorageError as error:
                self.error = error
                self._failed()
                return
            number += 1

    def _opened(self, number: int) -> int | None:
        """The pipe's end for writing, once somebody reads; None when nobody ever will."""
        while not self._over.wait(OPEN_SECONDS):
            try:
                descriptor = os.open(self._path(number), os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads yet
                    return None  # the job's folder is gone
                continue
            os.set_blocking(descriptor, True)
            return descriptor
        return None

    def _make(self, number: int) -> None:
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        path.chmod(0o666)  # a container may be another user

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._channel}_{number}"


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]
