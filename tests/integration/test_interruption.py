"""However a run is ended, nothing is left: no process, no endpoint, no temporary folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsal import SMALL, Rehearsal, processes_of, settings

Rehearse = Callable[..., Rehearsal]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A training script that says that it trains and does not end by itself."""
    script = tmp_path / "source" / "endless.py"
    script.parent.mkdir()
    script.write_text("import signal\nprint('training goes on', flush=True)\nsignal.pause()\n")
    return script


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_training(
    rehearse: Rehearse, endless: Path, number: signal.Signals, status: int
) -> None:
    """The job is stopped, the emulator too."""
    run = rehearse(**settings(**SMALL, entry_point_script=str(endless)))
    run.wait_for("training goes on")
    run.signal(number)
    assert run.finish() == status, run.output
    steps = {step["name"]: step["status"] for step in run.report["steps"]}
    assert steps["train"] == "interrupted"
    assert run.report["removed"] is True
    run.assert_nothing_left()


@pytest.mark.parametrize("flags", [(), ("--keep-endpoint",)])
def test_ctrl_c_while_serving(rehearse: Rehearse, flags: tuple[str, ...]) -> None:
    """The endpoint is removed, verified, before the emulator is stopped; kept is only what a whole run has made."""
    run = rehearse(*flags, **settings(**SMALL))
    run.wait_for("is in service")
    run.signal_group(signal.SIGINT)
    assert run.finish() == 130, run.output
    assert run.report["removed"] is True
    run.assert_nothing_left()


def test_a_second_ctrl_c_does_not_stop_the_removal(rehearse: Rehearse) -> None:
    """It is answered; the removal goes on to its end."""
    run = rehearse(**settings(**SMALL))
    run.wait_for("is in service")
    run.signal(signal.SIGINT)
    run.wait_for("remove …")
    run.signal(signal.SIGINT)
    assert run.finish() == 130, run.output
    assert run.report["removed"] is True
    run.assert_nothing_left()


def test_kill_9_of_the_run(rehearse: Rehearse, endless: Path) -> None:
    """Nothing in the run can clean up: the emulator sees its end and goes too, with all that it had started."""
    run = rehearse(**settings(**SMALL, entry_point_script=str(endless)))
    run.wait_for("training goes on")
    run.signal(signal.SIGKILL)
    assert run.finish() == -signal.SIGKILL
    run.assert_nothing_left()


def test_a_reader_that_is_gone(rehearse: Rehearse) -> None:
    """`python -m runner | head -1` still removes its endpoint and writes its report."""
    run = rehearse(**settings(**SMALL))
    run.wait_for("generate …")
    run.stop_reading()
    assert run.finish() == 0
    assert run.report["removed"] is True
    run.assert_nothing_left()


def test_kill_9_of_the_emulator(rehearse: Rehearse, endless: Path) -> None:
    """What the run had made ended with it: the run says so at once, without alarm, and leaves nothing."""
    run = rehearse(**settings(**SMALL, entry_point_script=str(endless)))
    run.wait_for("training goes on")
    (emulator,) = (each for each in processes_of(run.folder) if "emulator up" in each)
    os.kill(int(emulator.split(":")[0]), signal.SIGKILL)
    assert run.finish() == 1
    assert "the emulator ended unexpectedly" in run.output
    assert "delete-endpoint" not in run.output
