"""Runs `python -m runner` as its user does: its own process and folder, with a scrubbed environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_dir

ROOT = Path(__file__).parents[2]
MOVIELENS = ROOT.parent / "shared" / "data" / "ml-latest-small"
DEADLINE_SECONDS = 240
SMALL = {"NUM_USERS": "200", "NUM_MOVIES": "150", "NUM_GROUPS": "4", "NUM_CLUSTERS": "4", "PREDICT_NUM_USERS": "3"}


def environment(folder: Path, *, docker: bool = False) -> dict[str, str]:
    """A fresh shell's variables; state, temporary files and results go below `folder`, the cache is the user's.

    Without `docker` no daemon is in reach: whether one runs on this machine must not decide what `auto` tests.
    """
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(Path(user_cache_dir("sagemaker-rehearsal")).parent),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder / "state"),
        "DOCKER_HOST": os.environ.get("DOCKER_HOST", "") if docker else f"unix://{folder}/no-docker.sock",
        "AWS_EC2_METADATA_DISABLED": "true",  # no look-up of an instance's credentials: tests stay on loopback
        "REHEARSAL_GENERATED_DATA_PATH": str(folder / "generated"),
        "REHEARSAL_TRAINING_DATA_PATH": str(folder / "matrix"),
        "REHEARSAL_REPORT_DIR": str(folder / "report"),
    }


def settings(**values: str) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"REHEARSAL_{name.upper()}": value for name, value in values.items()}


def poll(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Look until the condition holds; the test fails when it never does."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


def processes_of(folder: Path) -> list[str]:
    """The command lines of living processes that know of `folder`, by argument or environment."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes()
                if command and str(folder).encode() in command + (process / "environ").read_bytes():
                    found.append(f"{process.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


@dataclass
class Rehearsal:
    """A run that was started, and what it printed so far."""

    process: subprocess.Popen[str]
    folder: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to read what it prints."""
        self._reading = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)
                if not self._reading:
                    break

    @property
    def output(self) -> str:
        """All it printed, both streams."""
        return "".join(self.lines)

    @property
    def report(self) -> dict[str, Any]:
        """Its report.json."""
        report: dict[str, Any] = json.loads((self.folder / "report" / "report.json").read_text())
        return report

    def wait_for(self, text: str) -> None:
        """Wait until it has printed `text`."""

        def printed() -> bool:
            assert self.process.poll() is None or text in self.output, f"ended without {text!r}:\n{self.output}"
            return text in self.output

        poll(printed, f"{text!r} in the output")

    def stop_reading(self) -> None:
        """Close the other end of its output after the next line."""
        self._reading = False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, to it alone."""
        self.process.send_signal(number)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to all processes of its group, as a terminal does at Ctrl-C."""
        os.killpg(self.process.pid, number)

    def finish(self) -> int:
        """Wait for its end, and until all it printed is read; returns its exit status."""
        status = self.process.wait(timeout=DEADLINE_SECONDS)
        self._reader.join(timeout=15)
        return status

    def assert_nothing_left(self) -> None:
        """No process that knows of the folder, and no temporary file or folder."""
        poll(lambda: not processes_of(self.folder), f"processes end: {processes_of(self.folder)}", 15)
        poll(lambda: not list((self.folder / "tmp").iterdir()), "temporary files are removed", 15)


def start(folder: Path, *flags: str, mode: str = "local", **variables: str) -> Rehearsal:
    """Start a run in `folder` with the project's settings file."""
    engine = variables.setdefault("REHEARSAL_ENGINE", "venv") if mode == "local" else ""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "--mode", mode, "--config", str(ROOT / "runner.toml"), *flags],
        cwd=folder,
        env=environment(folder, docker=engine in ("docker", "sdk")) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Rehearsal(process, folder)


def assert_same_model(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two reports tell of the same training and the same answers, but for rounding."""
    found, expected = other["training"]["metrics"], one["training"]["metrics"]
    for key in ("iterations", "converged", "cluster_sizes"):
        assert found[key] == expected[key], key
    for key in ("train_inertia", "test_inertia"):
        assert found[key] == pytest.approx(expected[key], rel=1e-5), key
    assert other["invocations"] == one["invocations"]
    assert len(other["predictions"]) == len(one["predictions"]) > 0
    for mine, theirs in zip(other["predictions"], one["predictions"], strict=True):
        assert mine["cluster_index"] == theirs["cluster_index"]
        assert mine["distances"] == pytest.approx(theirs["distances"], abs=1e-5)


def emulator(folder: Path, *arguments: str, docker: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `python -m emulator …` with the folder's environment."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", *arguments],
        env=environment(folder, docker=docker),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
