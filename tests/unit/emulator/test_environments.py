"""Environments built with uv; what they need is in a folder of wheels, made here, so that no index is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from emulator.environments import EnvironmentFailed, Environments, uv_program


def write_wheel(folder: Path, name: str, text: str, metadata: str = "") -> None:
    """A package of one module."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A requirement file with one small package, which uv finds without an index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "tiny", "ANSWER = 42\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_OFFLINE", "1")
    path = tmp_path / "requirements.txt"
    path.write_text("tiny==1.0\n    # via nobody\n")
    return path


@pytest.fixture
def reports() -> list[str]:
    """What was reported."""
    return []


@pytest.fixture
def environments(tmp_path: Path, reports: list[str]) -> Environments:
    """Environments in a cache of this test."""
    return Environments(tmp_path / "cache", reports.append)


def answer(python: Path) -> str:
    """What the package says."""
    return subprocess.run([python, "-c", "import tiny; print(tiny.ANSWER)"], capture_output=True, text=True).stdout


def test_built_once(
    environments: Environments, requirements: Path, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call builds and says so; the second starts no program at all."""
    python = environments.python("image", requirements)
    assert answer(python) == "42\n"
    assert list(python.parents[1].glob("lib/*/site-packages/__pycache__/tiny.*.pyc")), "not byte-compiled"
    assert len(reports) == 2
    assert "image" in reports[0]
    assert "1 pinned packages" in reports[0]
    assert " s (" in reports[1]

    def forbidden(*arguments: object, **_: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(subprocess, "run", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    assert environments.python("image", requirements) == python
    assert len(reports) == 2


def test_a_changed_file_is_another_environment(environments: Environments, requirements: Path) -> None:
    """The content of the requirements counts, not their name or date."""
    first = environments.python("image", requirements)
    os.utime(requirements, (0, 0))
    assert environments.python("image", requirements) == first
    requirements.write_text("")
    assert environments.python("image", requirements) != first


def test_overrides(environments: Environments, requirements: Path, tmp_path: Path) -> None:
    """A package that another one requires stays away where overrides.txt says so, which makes another environment."""
    first = environments.python("image", requirements)
    write_wheel(tmp_path / "wheels", "needy", "", "Requires-Dist: missing-from-everywhere\n")
    requirements.write_text("tiny==1.0\nneedy==1.0\n")
    with pytest.raises(EnvironmentFailed, match="missing-from-everywhere"):
        environments.python("image", requirements)
    overrides = tmp_path / "overrides.txt"
    overrides.write_text('missing-from-everywhere; sys_platform == "never"\n')
    python = environments.python("image", requirements)
    assert answer(python) == "42\n"
    assert first != python
    overrides.write_text(overrides.read_text() + "# once more\n")
    assert environments.python("image", requirements) != python


def test_only_what_is_complete_remains(environments: Environments, requirements: Path) -> None:
    """Beside an environment there is only its lock, which other processes may hold."""
    python = environments.python("image", requirements)
    names = {path.name for path in environments.cache_dir.iterdir()}
    assert names == {python.parents[1].name, f"{python.parents[1].name}.lock"}


def test_a_failure_says_what_uv_said(environments: Environments, requirements: Path) -> None:
    """The error has uv's words, and nothing of the attempt is left to be taken for an environment."""
    requirements.write_text("tiny==2.0\n")
    with pytest.raises(EnvironmentFailed, match=r"image: [\s\S]*uv pip said:[\s\S]*tiny==2\.0"):
        environments.python("image", requirements)
    assert all(path.suffix == ".lock" for path in environments.cache_dir.iterdir())
    requirements.write_text("tiny==1.0\n")
    assert answer(environments.python("image", requirements)) == "42\n"


def test_no_network(environments: Environments, requirements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that cannot be reached is an error that says what is needed."""
    monkeypatch.delenv("UV_OFFLINE")
    for name in ("UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    requirements.write_text("missing-from-everywhere==1.0\n")
    with pytest.raises(EnvironmentFailed, match="The package index is needed once"):
        environments.python("image", requirements)


def test_a_cache_that_cannot_be_written(tmp_path: Path, requirements: Path) -> None:
    """The error names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="file/cache"):
        Environments(tmp_path / "file/cache", print).python("image", requirements)


def test_missing_requirements(environments: Environments, tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(EnvironmentFailed, match=r"none\.txt"):
        environments.python("image", tmp_path / "none.txt")


def test_an_environment_whose_python_is_gone(environments: Environments, requirements: Path) -> None:
    """When the Python below it was removed, it is built anew."""
    python = environments.python("image", requirements)
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    assert answer(environments.python("image", requirements)) == "42\n"


def test_two_at_once(environments: Environments, requirements: Path, reports: list[str]) -> None:
    """Threads that ask at the same time get the same environment, built once."""
    with ThreadPoolExecutor(4) as pool:
        pythons = set(pool.map(lambda _: environments.python("image", requirements), range(4)))
    assert len(pythons) == 1
    assert sum("building its Python environment in" in report for report in reports) == 1
    assert any("waiting" in report for report in reports)


def test_uv_is_looked_for_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's sysconfig, by which it is found, is not safe in two: jobs that began together failed of it."""
    both = threading.Barrier(2)
    met = []

    def find() -> str:
        with suppress(threading.BrokenBarrierError):
            met.append(both.wait(0.2))
        return "uv"

    monkeypatch.setattr("uv.find_uv_bin", find)
    with ThreadPoolExecutor(2) as pool:
        assert [each.result() for each in [pool.submit(uv_program), pool.submit(uv_program)]] == ["uv", "uv"]
    assert met == []


def test_stop(tmp_path: Path, requirements: Path) -> None:
    """A build that is stopped is an error at once, and leaves nothing."""
    environments = Environments(tmp_path / "cache", lambda line: environments.stop())
    with pytest.raises(EnvironmentFailed, match="was stopped"):
        environments.python("image", requirements)
    assert all(path.suffix == ".lock" for path in environments.cache_dir.iterdir())


def test_stop_waits_until_a_build_is_cleared_away(
    tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may end right afterwards; neither the cache nor the user's TMPDIR has anything of it."""
    cache, temporary, going = tmp_path / "cache", tmp_path / "tmp", tmp_path / "going"
    temporary.mkdir()
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\ntouch "$TMPDIR/uv-1.lock" {going}\nsleep 60\n')
    uv.chmod(0o755)
    monkeypatch.setattr("emulator.environments.uv_program", lambda: str(uv))
    monkeypatch.setenv("TMPDIR", str(temporary))
    removed = shutil.rmtree

    def remove_slowly(path: Path, **options: bool) -> None:
        threading.Event().wait(0.3)
        removed(path, **options)

    monkeypatch.setattr("emulator.environments.shutil.rmtree", remove_slowly)
    environments = Environments(cache, print)
    with ThreadPoolExecutor(1) as pool:
        build = pool.submit(environments.python, "image", requirements)
        deadline = time.monotonic() + 10
        while not going.exists():
            assert time.monotonic() < deadline
        assert list(cache.glob("*.unfinished-*"))
        environments.stop()
        assert not list(cache.glob("*.unfinished-*"))
        with pytest.raises(EnvironmentFailed, match="was stopped"):
            build.result(10)
    assert not list(temporary.iterdir())


BUILDER = """
import sys
from pathlib import Path
from emulator.environments import Environments
Environments(Path(sys.argv[1]), lambda line: print(line, flush=True)).python("image", Path(sys.argv[2]))
"""


def test_a_killed_build_is_not_taken_for_complete(
    environments: Environments, requirements: Path, reports: list[str]
) -> None:
    """After a kill in the middle the next one builds, and waits for nobody."""
    arguments = [sys.executable, "-c", BUILDER, str(environments.cache_dir), str(requirements)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=variables) as builder:
        assert builder.stdout
        builder.stdout.readline()
        builder.kill()  # alone: its uv goes on for a moment
        builder.wait()
    assert answer(environments.python("image", requirements)) == "42\n"
    assert not any("waiting" in report for report in reports)
