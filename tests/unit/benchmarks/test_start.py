"""What benchmarks/start.py prints."""

from __future__ import annotations

import os

import pytest
import start


def test_a_row_has_the_medians(capsys: pytest.CaptureFixture[str]) -> None:
    """And every single time."""
    start.show("name", [start.Start(1.0, 0.5, 70, 80), start.Start(3.0, 0.7, 90, 99), start.Start(1.5, 0.6, 75, 85)])
    assert capsys.readouterr().out == "| name | 1.50 (1.00, 3.00, 1.50) | 0.60 | 75 | 85 |\n"


def test_a_process_is_measured() -> None:
    """That of the tests has some memory, and has computed something."""
    assert start.resident(os.getpid()) > 10
    assert start.computed(os.getpid()) > 0
