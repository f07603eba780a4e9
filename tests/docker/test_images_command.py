"""`python -m emulator images` as its users, people and programs, run it."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import command
from rehearsal import environment

from emulator.engine.docker_labels import NAME

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]
URI = "763104351884.dkr.ecr.us-east-1.amazonaws.com/new:1"


def images(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m emulator images …` with the folder's catalogue."""
    return subprocess.run(
        command("images", *arguments, "--images", str(folder / "images.toml")),
        env=environment(folder, docker=True),
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def folder(tmp_path: Path, docker_daemon: Any) -> Iterator[Path]:
    """A catalogue with one image that was never built before; removed afterwards."""
    name = f"new-{uuid.uuid4().hex[:8]}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nLABEL test={name}\n")
    (tmp_path / "images.toml").write_text(f'[[image]]\nrepository = "new"\ntags = ["1*"]\nfolder = "{name}"\n')
    yield tmp_path
    for image in docker_daemon.client.images.list(f"{NAME}/{name}"):
        docker_daemon.client.images.remove(image.id, force=True)


def test_an_image_is_listed_as_missing_then_built_then_found(folder: Path, docker_daemon: Any) -> None:
    """By the URI of a request; stdout is one object of JSON, and progress goes to stderr."""
    assert json.loads(images(folder, "list", "--json", URI).stdout) == {URI: None}
    built = images(folder, "build", "--json", URI)
    assert built.returncode == 0, built.stderr
    assert "building its Docker image" in built.stderr
    found = json.loads(built.stdout)[URI]
    assert found["built_here"] is True
    daemons_own = docker_daemon.client.images.get(found["reference"])
    assert found["size"] == daemons_own.attrs["Size"] > 0
    again = images(folder, "build", "--json", URI)
    assert (json.loads(again.stdout), again.stderr) == ({URI: found}, "")
    assert json.loads(images(folder, "list", "--json").stdout) == {"new:1*": found}
    assert found["reference"] in images(folder, "list").stdout
    daemons_own.tag(URI)
    try:
        own = json.loads(images(folder, "build", "--json", URI).stdout)[URI]
        assert own["reference"] == URI
        assert json.loads(images(folder, "list", "--json").stdout) == {"new:1*": found, URI: own}
    finally:
        docker_daemon.client.images.remove(URI)


def test_a_uri_that_nobody_knows_is_an_error(folder: Path) -> None:
    """Named on stderr, with status 1 and nothing on stdout; it is not taken for one that is yet to be built."""
    for action in ("build", "list"):
        answer = images(folder, action, "--json", URI, "unheard-of:1")
        assert (answer.returncode, answer.stdout) == (1, "")
        assert "unheard-of:1" in answer.stderr


def test_a_build_that_fails_says_why(folder: Path, docker_daemon: Any) -> None:
    """The end of its output is on stderr; no image and no container of it is left."""
    (dockerfile,) = folder.glob("*/Dockerfile")
    name = dockerfile.parent.name
    dockerfile.write_text(f"ARG BASE\nFROM ${{BASE}}\nRUN echo {name} is out of luck; exit 3\n")
    failed = images(folder, "build", "--json", URI)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "returned a non-zero code: 3" in failed.stderr
    assert f"{name} is out of luck" in failed.stderr.splitlines()
    assert docker_daemon.client.images.list(f"{NAME}/{name}") == []
    left = docker_daemon.client.containers.list(all=True, ignore_removed=True)
    assert not [each for each in left if name in " ".join(each.attrs["Args"])]


def test_an_image_that_cannot_be_pulled(folder: Path) -> None:
    """Is named, with the daemon's reason."""
    answer = images(folder, "list", "--pull", "localhost:9/new:1")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "The image 'localhost:9/new:1' cannot be pulled: " in answer.stderr
