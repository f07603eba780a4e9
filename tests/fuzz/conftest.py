"""How many requests, shared out evenly over the operations, and what became of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import world as worlds

_ASKED: Counter[tuple[str, str]] = Counter()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.World]:
    """One emulator for all requests: they meet what earlier ones have left."""
    with worlds.world(tmp_path_factory.mktemp("fuzz")) as made:
        yield made
        _ASKED.update(made.asked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line an operation: how many requests, and their answers."""
    if not _ASKED:
        return
    terminalreporter.section(f"fuzz: {sum(_ASKED.values())} requests")
    for operation in sorted({operation for operation, _ in _ASKED}):
        answers = {code: count for (name, code), count in sorted(_ASKED.items()) if name == operation}
        told = ", ".join(f"{code} {count}" for code, count in answers.items())
        terminalreporter.write_line(f"{operation}: {sum(answers.values())} ({told})")
