"""What benchmarks/engines.py makes of the marks of a run."""

from __future__ import annotations

import engines
import pytest

MARKS = {
    **{"status Training": 0.5, "container starts": 1.0, "script": 2.0, "tensorflow": 4.0, "trained": 5.0},
    **{"ended": 5.5, "container ends": 6.0, "status Uploading": 6.5, "train returns": 7.0},
    **{"endpoint's container starts": 8.0, "server: Listening": 8.5, "server: Ready": 10.0},
    **{"deploy returns": 10.5, "first answer": 10.75},
}


def test_phases_add_up_to_the_whole() -> None:
    """Nothing is counted twice or left out: each phase begins where the one before ended."""
    seconds = engines.phases(MARKS)
    assert list(seconds) == [name for name, _ in engines.PHASES]
    assert sum(seconds.values()) == engines.totals(MARKS)["all"] == 10.75
    assert seconds["import TensorFlow"] == 2.0
    assert seconds["script and `train` end"] == 0.5  # the container's end, where there is one


@pytest.mark.parametrize("unknown", ["status Training", "container starts", "container ends", "server: Ready"])
def test_what_an_engine_does_not_mark_is_in_its_next_phase(unknown: str) -> None:
    """The sum stays that of all."""
    seconds = engines.phases({name: at for name, at in MARKS.items() if name != unknown})
    assert sum(seconds.values()) == pytest.approx(10.75)


def test_totals() -> None:
    """Fit and deploy last as long as the workflow's steps."""
    assert engines.totals(MARKS) == {"fit": 7.0, "deploy": 3.5, "all": 10.75}


def test_the_table_has_medians_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    """The ratio is that of the medians, to the SDK's local mode in either form; its goal stands beside it."""
    slower = {name: 2 * at for name, at in MARKS.items()}
    outlier = {name: 9 * at for name, at in MARKS.items()}
    slowest = {name: 4 * at for name, at in MARKS.items()}
    measured = {"venv": [outlier, MARKS, MARKS], "sdk": [slower, slower, slower]}
    engines.show({**measured, "sdk-as-it-comes": [slowest, slowest, slowest]})
    printed = capsys.readouterr().out
    assert "| venv | 7.00 | 3.50 | 10.75 | 96.8, 10.8, 10.8 | 0.50 | 0.25 | 0.4 |" in printed
    assert "| sdk | 14.00 | 7.00 | 21.50 | 21.5, 21.5, 21.5 | 1.00 | 0.50 |  |" in printed
    assert "| import TensorFlow | 2.00 | 4.00 | 8.00 |" in printed
