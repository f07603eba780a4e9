"""What the fault-injection tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import Machine


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Start an emulator on a machine of the test's own; afterwards it is stopped, and nothing is left of it."""
    machines: list[Machine] = []

    def begin(*arguments: str, folder: Path = tmp_path, **options: Any) -> Machine:
        machine = Machine(folder, arguments=arguments, **options)
        machines.append(machine)
        return machine.up()

    yield begin
    for machine in machines:
        machine.stop()
        assert machine.left() == []


@pytest.fixture(params=["venv", pytest.param("docker", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine; Docker where there is a daemon."""
    if request.param == "docker":
        request.getfixturevalue("docker_daemon")
    return str(request.param)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 48 MB; that takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("a small disk can be mounted by root only; tests/unit has the same with a limit on files' sizes")
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounting.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounting.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
