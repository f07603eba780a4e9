"""Chooses the engine, and says why."""

from __future__ import annotations

from pathlib import Path

from emulator.engine.port import Engine
from emulator.engine.venv import PythonEnvironments, VenvEngine
from emulator.images import Catalogue

CHOICES = ("auto", "venv")


class EngineUnknown(Exception):
    """There is no engine of that name; the message lists those that there are."""


def choose(
    name: str, catalogue: Catalogue, environments: PythonEnvironments, processes_dir: Path, source_root: Path
) -> tuple[Engine, str]:
    """The engine, and the reason for people to read. Raises EngineUnknown."""
    if name not in CHOICES:
        raise EngineUnknown(f"There is no engine {name!r}. Choose one of: {', '.join(CHOICES)}.")
    engine = VenvEngine(catalogue, environments, processes_dir, source_root)
    return engine, "it was asked for" if name == "venv" else "auto: this version has no Docker engine"
