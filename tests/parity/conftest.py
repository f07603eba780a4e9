"""Runs the job once through each engine, for all tests here, and shows at the end how long each step took."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parity_run
import pytest
from parity_run import Outcome
from rehearsal import ROOT

REFERENCE = "docker"  # a real container with AWS's own toolkit: the closest to AWS that there is here
OTHERS = ("venv", "sdk")
BUILD_SECONDS = 1500
OUTCOMES = pytest.StashKey[dict[str, Outcome]]()
IMAGE = "tensorflow-training"


@pytest.fixture(scope="session")
def images(docker_daemon: Any) -> None:
    """The Docker engine's images: built before the first run, whose steps are timed."""
    build = [*parity_run.EMULATOR, "images", "build"]
    done = subprocess.run(build, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def tensorflow(environments: Any) -> Path:
    """A Python with the training image's packages: the venv engine's, whose other environment is built here as well."""
    from emulator.images import Catalogue

    catalogue = Catalogue.load(ROOT / "docker" / "images.toml")
    pythons = {each.name: environments.python(each.name, each.requirements) for each in catalogue.images}
    return Path(pythons[IMAGE])


@pytest.fixture(scope="session")
def _usual_umask() -> Iterator[None]:
    """That of containers: who may write must not depend on the user's own."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def _outcome(request: pytest.FixtureRequest, engine: str) -> Outcome:
    for needed in ("images", "_usual_umask", *(["docker_compose"] if engine == "sdk" else [])):
        request.getfixturevalue(needed)
    folder = request.getfixturevalue("tmp_path_factory").mktemp(engine)
    outcome = parity_run.run(engine, folder, request.getfixturevalue("tensorflow"))
    request.config.stash.setdefault(OUTCOMES, {})[engine] = outcome
    return outcome


@pytest.fixture(scope="session")
def reference(request: pytest.FixtureRequest) -> Outcome:
    """What the others are held against."""
    return _outcome(request, REFERENCE)


@pytest.fixture(scope="session", params=OTHERS)
def other(request: pytest.FixtureRequest) -> Outcome:
    """Each other engine in turn."""
    return _outcome(request, request.param)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The wall time of each step of each engine that ran."""
    outcomes = config.stash.get(OUTCOMES, {})
    if not outcomes:
        return
    engines = [engine for engine in ("venv", "docker", "sdk") if engine in outcomes]
    seconds = {engine: outcomes[engine].seconds for engine in engines}
    terminalreporter.section("seconds by step and engine (one run each)")
    terminalreporter.write_line(f"{'step':12}" + "".join(f"{engine:>9}" for engine in engines))
    steps = dict.fromkeys(step for engine in engines for step in seconds[engine])
    for step in steps:
        values = (seconds[engine].get(step) for engine in engines)
        terminalreporter.write_line(
            f"{step:12}" + "".join(f"{'–' if value is None else f'{value:.2f}':>9}" for value in values)
        )
    terminalreporter.write_line(
        f"{'total':12}" + "".join(f"{sum(seconds[engine].values()):9.2f}" for engine in engines)
    )
