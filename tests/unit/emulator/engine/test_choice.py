"""Choosing the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.engine.choice import EngineUnknown, choose
from emulator.images import Catalogue


class FakeEnvironments:
    """Environments that nobody needs here."""

    def python(self, name: str, requirements: Path) -> Path:
        """No interpreter."""
        raise AssertionError(name)


@pytest.mark.parametrize(("name", "reason"), [("auto", "no Docker engine"), ("venv", "asked for")])
def test_the_choice_has_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    """Both names give the venv engine in this version, and say why."""
    engine, why = choose(name, Catalogue(tmp_path, ()), FakeEnvironments(), tmp_path, tmp_path)
    assert engine.name == "venv"
    assert reason in why


def test_an_unknown_engine_is_an_error(tmp_path: Path) -> None:
    """The error lists what can be chosen."""
    with pytest.raises(EngineUnknown, match=r"'vnv'.*auto, venv"):
        choose("vnv", Catalogue(tmp_path, ()), FakeEnvironments(), tmp_path, tmp_path)
