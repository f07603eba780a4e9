"""Runs and emulators that end with their test, whatever the test finds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from rehearsal import Rehearsal


@pytest.fixture
def rehearse(tmp_path: Path) -> Iterator[Callable[..., Rehearsal]]:
    """Start runs in the test's own folder; those that still go on afterwards are ended."""
    runs: list[Rehearsal] = []

    def start(*flags: str, **options: Any) -> Rehearsal:
        runs.append(rehearsal.start(tmp_path, *flags, **options))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.finish()
    rehearsal.emulator(tmp_path, "down")
