"""Servers that wait are one an image, become what they are told, and end with the engine or without a word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.engine.inherited import inherited
from emulator.engine.processes import Processes, Program
from emulator.engine.standby import Spares, suits
from emulator.images import ImageDefinition

IMAGE = ImageDefinition("a", ("latest",), Path("a"), {}, standby=("python",))
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
def spares(processes: Processes, started: list[Program], tmp_path: Path) -> Iterator[Spares]:
    """Spares of a program that waits."""

    def start(definition: ImageDefinition) -> Program:
        arguments = [sys.executable, "-c", WAITS]
        program = processes.start(
            "standby/a", arguments, environment=inherited(), folder=tmp_path, stdin=subprocess.PIPE
        )
        started.append(program)
        return program

    made = Spares(start)
    yield made
    made.close()
    for program in started:
        program.end(0)
        for pipe in (program.popen.stdin, program.popen.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def test_it_becomes_what_it_is_told(spares: Spares, processes: Processes, tmp_path: Path) -> None:
    """Environment and folder reach it, with the token by which it is known; on disk it has its new name."""
    spares.begin(IMAGE)
    program = spares.take(IMAGE, "endpoint/e/1", {"A": "ü\n"}, tmp_path)
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


def test_one_waits_and_is_taken_once(spares: Spares, started: list[Program], tmp_path: Path) -> None:
    """A second beginning finds the first; a second taker finds none."""
    spares.begin(IMAGE)
    spares.begin(IMAGE)
    assert len(started) == 1
    assert spares.take(IMAGE, "one", {}, tmp_path) is started[0]
    assert spares.take(IMAGE, "two", {}, tmp_path) is None
    spares.begin(IMAGE)
    assert len(started) == 2


def test_one_that_ended_is_nobodys(spares: Spares, started: list[Program], tmp_path: Path) -> None:
    """It is not handed out, and the next beginning starts another."""
    spares.begin(IMAGE)
    started[0].end(0)
    assert spares.take(IMAGE, "one", {}, tmp_path) is None
    spares.begin(IMAGE)
    started[1].end(0)
    spares.begin(IMAGE)
    assert len(started) == 3


def test_the_end(spares: Spares, started: list[Program], tmp_path: Path) -> None:
    """Those that wait are ended, and no more are started."""
    spares.begin(IMAGE)
    spares.close()
    assert started[0].popen.poll() is not None
    spares.begin(IMAGE)
    assert len(started) == 1
    assert spares.take(IMAGE, "one", {}, tmp_path) is None


def test_what_cannot_be_started_is_no_error(tmp_path: Path) -> None:
    """The endpoint itself will say what is wrong."""

    def start(_definition: ImageDefinition) -> Program:
        raise FileNotFoundError("no environment yet")

    spares = Spares(start)
    spares.begin(IMAGE)
    assert spares.take(IMAGE, "one", {}, tmp_path) is None


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
