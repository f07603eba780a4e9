"""Runs a command of the user's: its lines go on to stdout as they come, and its error message is picked out of them."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, TextIO

from training_launcher.errors import CommandError, Stopped

# The first line that contains one of these begins the error message (the toolkit's rule, by substring).
ERROR_NAMES = (
    "Exception",
    *(name for name in dir(builtins) if name.endswith("Error")),
    "Invalid requirement",
    "mpirun.real",
    "ORTE",
)
# TensorFlow's own errors (tensorflow.errors, 2.14) in the toolkit's order: the first one found in the message also
# names the failure, by substring. A FileNotFoundError is therefore reported as "NotFoundError", on AWS too.
TENSORFLOW_ERROR_NAMES = (
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InaccessibleTensorError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "OpError",
    "OperatorNotAllowedInGraphError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "raise_exception_on_not_ok_status",
    "XlaRuntimeError",
)
SCRIPT_ERROR = "ExecuteUserScriptError"
# SageMaker reads 1,024 characters of the failure file; more is of no use and could be without end.
MESSAGE_LINES = 1000


class _Lines:
    """Passes on the lines of one stream, and keeps those from the first error on."""

    def __init__(self, stream: IO[bytes], target: TextIO) -> None:
        self._stream = stream
        self._target = target
        self._kept: dict[str, None] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for raw in self._stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self._target.write(line + "\n")  # one write a line: two threads write
            self._target.flush()
            if len(self._kept) < MESSAGE_LINES and (
                self._kept or any(name in line for name in (*ERROR_NAMES, *TENSORFLOW_ERROR_NAMES))
            ):
                self._kept[line.strip(" :\n")] = None

    def message(self) -> str:
        """Wait for the end of the stream; return the error message, each line but the first indented by a space."""
        self._thread.join()
        return "".join(f"{' ' if number else ''}{line}\n" for number, line in enumerate(self._kept))


class _Sigterm:
    """Passes SIGTERM on to a process's group, from before the process is started until after its end."""

    def __init__(self) -> None:
        self.received = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Sigterm:
        self._previous = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def forward_to(self, process: subprocess.Popen[bytes]) -> None:
        """Forward to this process, the leader of its group; at once when the signal came already."""
        self._process = process
        if self.received:
            self._forward()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.received = True
        self._forward()

    def _forward(self) -> None:
        # Until it is reaped (returncode), its number cannot be another process's.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)


def run(command: str, cwd: Path, variables: Mapping[str, str], name: str = SCRIPT_ERROR) -> None:
    """Run a shell command to its end, in a process group of its own.

    The command is a line for /bin/sh because the toolkit joins its arguments with spaces and hands them to a shell:
    a hyperparameter with a space in it arrives as two arguments on AWS, and so it must here.

    Raises CommandError (`name`, or TensorFlow's own name for a failed script) when it ends with an error, and Stopped
    when it ends with one after SIGTERM.
    """
    with _Sigterm() as sigterm:
        process = subprocess.Popen(  # noqa: S602
            # The signal reaches the shell too, as a member of the group; the trap makes it wait for the script.
            f"trap : TERM; {command}",
            shell=True,
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        sigterm.forward_to(process)
        streams = [_Lines(stream, sys.stdout) for stream in (process.stdout, process.stderr) if stream is not None]
        status = process.wait()
        message = " ".join([stream.message() for stream in streams])
    # A shell reports a process that a signal ended as 128 + its number; do so too where sh replaced itself by it.
    exit_code = 128 - status if status < 0 else status
    if not exit_code:
        return
    if sigterm.received:
        raise Stopped(exit_code)
    message = "\n".join(dict.fromkeys(message.split("\n"))).strip()
    if name == SCRIPT_ERROR:
        name = next((error for error in TENSORFLOW_ERROR_NAMES if error in message), name)
    raise CommandError(name, exit_code, message, command)
