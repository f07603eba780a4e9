"""Servers that wait are one an image, become what they are told, and end with the engine or without a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emulator.engine.inherited import inherited
from emulator.engine.processes import Processes, Program
from emulator.engine.standby import Spares, suits

Start = Callable[[], Program]
KIND = ("python", "--standby")
# What it is told, as a line of its output; without a word it ends.
WAITS = "import sys; print(sys.stdin.readline(), end='', flush=True)"


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    """Programs recorded in a folder of the test."""
    return Processes(tmp_path / "processes")


@pytest.fixture
def started() -> list[Program]:
    """What was started, in order."""
    return []


@pytest.fixture
def start(processes: Processes, started: list[Program], tmp_path: Path) -> Iterator[Callable[[], Program]]:
    """Starts a program that waits; all of them are ended with the test."""

    def start() -> Program:
        program = processes.start(
            "standby/a",
            [sys.executable, "-c", WAITS],
            environment=inherited(),
            folder=tmp_path,
            stdin=subprocess.PIPE,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.end(0)
        for pipe in (program.popen.stdin, program.popen.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


@pytest.fixture
def spares() -> Spares:
    """None waits yet."""
    return Spares()


def test_it_becomes_what_it_is_told(spares: Spares, start: Start, processes: Processes, tmp_path: Path) -> None:
    """Environment and folder reach it, with the token by which it is known; on disk it has its new name."""
    spares.begin(KIND, start)
    program = spares.take(KIND, "endpoint/e/1", {"A": "ü\n"}, tmp_path)
    assert program is not None
    assert program.popen.stdout is not None
    told = json.loads(program.popen.stdout.readline())
    assert told["folder"] == str(tmp_path)
    assert told["environment"]["A"] == "ü\n"
    assert program.token in told["environment"].values()
    (record,) = processes.folder.glob("*.json")
    assert json.loads(record.read_text())["name"] == "endpoint/e/1"
    program.end(0)
    assert list(processes.folder.glob("*.json")) == []


def test_one_waits_and_is_taken_once(spares: Spares, start: Start, started: list[Program], tmp_path: Path) -> None:
    """A second beginning finds the first; a second taker finds none."""
    spares.begin(KIND, start)
    spares.begin(KIND, start)
    assert len(started) == 1
    assert spares.take(KIND, "one", {}, tmp_path) is started[0]
    assert spares.take(KIND, "two", {}, tmp_path) is None
    spares.begin(KIND, start)
    assert len(started) == 2


def test_one_that_ended_is_nobodys(
    spares: Spares, start: Start, started: list[Program], processes: Processes, tmp_path: Path
) -> None:
    """It is not handed out, and the next beginning starts another."""
    spares.begin(KIND, start)
    os.kill(started[0].popen.pid, signal.SIGKILL)
    started[0].popen.wait()
    assert spares.take(KIND, "one", {}, tmp_path) is None
    spares.begin(KIND, start)
    os.kill(started[1].popen.pid, signal.SIGKILL)
    started[1].popen.wait()
    spares.begin(KIND, start)
    assert len(started) == 3
    assert len(list(processes.folder.glob("*.json"))) == 1  # nothing is remembered of those that ended
    for program in started[:2]:
        assert program.popen.stdin is not None
        assert program.popen.stdin.closed


def test_the_end(spares: Spares, start: Start, started: list[Program], tmp_path: Path) -> None:
    """Those that wait are ended, and no more are started."""
    spares.begin(KIND, start)
    spares.close()
    assert started[0].popen.poll() is not None
    spares.begin(KIND, start)
    assert len(started) == 1
    assert spares.take(KIND, "one", {}, tmp_path) is None


def test_what_cannot_be_started_is_no_error(tmp_path: Path) -> None:
    """The endpoint itself will say what is wrong."""

    def start() -> Program:
        raise FileNotFoundError("no such program")

    spares = Spares()
    spares.begin(KIND, start)
    assert spares.take(KIND, "one", {}, tmp_path) is None


def test_another_kind_is_not_handed_out(spares: Spares, start: Start, tmp_path: Path) -> None:
    """What an image's folder says now may not be what it said when the server was started."""
    spares.begin(KIND, start)
    assert spares.take(("another python", *KIND[1:]), "one", {}, tmp_path) is None
    assert spares.take(KIND, "one", {}, tmp_path) is not None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["SAGEMAKER_TFS_DEFAULT_MODEL_NAME", "AWS_REGION"], True),
        ([], True),
        (["TF_ENABLE_ONEDNN_OPTS"], False),
        (["SAGEMAKER_REGION", "OMP_NUM_THREADS"], False),
        (["MY_OWN"], False),
    ],
)
def test_only_variables_that_no_import_reads_suit(names: list[str], expected: bool) -> None:
    """A server that has imported TensorFlow cannot heed the others."""
    assert suits(dict.fromkeys(names, "1")) is expected
