"""report.json is whole or absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.progress import Step
from runner.report import Report


def test_a_report_is_written_with_its_steps(tmp_path: Path) -> None:
    """Records become objects; the folder is made."""
    report = Report("local", "run", steps=[Step("train", 1.5, "done")])
    path = report.write(tmp_path / "a" / "b")
    written = json.loads(path.read_text())
    assert written["steps"] == [{"name": "train", "seconds": 1.5, "status": "done"}]
    assert written["removed"] is False


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """Nothing is lost, and no draft stays."""
    Report("local", "first").write(tmp_path)
    with pytest.raises(TypeError):
        Report("local", "second", evaluation={"x": object()}).write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["run_name"] == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
