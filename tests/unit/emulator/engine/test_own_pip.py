"""The pip of an entry point installs for its job alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from emulator.engine.own_pip import provide
from emulator.environments import uv_program


def wheel(folder: Path, name: str, version: str = "1.0") -> None:
    """A package of one module, which says its version."""
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """What a program of the engine sees: an environment without pip, and a folder of wheels in place of an index."""
    subprocess.run([uv_program(), "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    (tmp_path / "wheels").mkdir()
    environment = {
        "UV": uv_program(),
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(tmp_path / "wheels"),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",  # two versions of one size and second look the same to what was compiled
        "VIRTUAL_ENV": str(tmp_path / "venv"),
        "PATH": os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]]),
    }
    return {**environment, **provide(tmp_path / "tree", environment)}


def run(variables: dict[str, str], *command: str) -> str:
    """Run it to its good end; what it printed."""
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_what_it_installs_is_found_by_its_job_alone(variables: dict[str, str], tmp_path: Path) -> None:
    """By the job's Python, under both names; the environment stays as it was, and nothing is left in TMPDIR."""
    for name in ("first", "second"):
        wheel(tmp_path / "wheels", name)
    (tmp_path / "requirements.txt").write_text("first\n", "utf-8")
    (tmp_path / "temporary").mkdir()
    variables["TMPDIR"] = str(tmp_path / "temporary")
    run(variables, "pip", "install", "-r", str(tmp_path / "requirements.txt"))
    run(variables, "pip3", "install", "second")
    assert run(variables, "python", "-c", "import first, second; print(first.VERSION)") == "1.0"
    del variables["PYTHONPATH"]
    assert run(variables, "pip", "list") == ""
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_the_image_has_stays_where_it_may(variables: dict[str, str], tmp_path: Path) -> None:
    """A newer version comes only when it is asked for."""
    wheel(tmp_path / "wheels", "first", "1.0")
    run(variables, variables["UV"], "pip", "install", "--quiet", "first")
    wheel(tmp_path / "wheels", "first", "2.0")
    version = ("python", "-c", "import first; print(first.VERSION)")
    run(variables, "pip", "install", "first")
    assert run(variables, *version) == "1.0"
    run(variables, "pip", "install", "first>1")
    assert run(variables, *version) == "2.0"


def test_what_cannot_be_installed_is_an_error(variables: dict[str, str]) -> None:
    """With pip's way to say so: a status."""
    done = subprocess.run(["pip", "install", "no-such-package"], env=variables, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no-such-package" in done.stderr
