"""What only the Docker engine does: users, limits, images of the daemon's own, leftovers, the way to this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import IMAGE_FOLDER
from rehearsal import ROOT

from emulator.engine.docker import DockerEngine, Person
from emulator.engine.docker_images import Images
from emulator.engine.docker_labels import WORK, own_filter
from emulator.engine.port import Container, Exited, Line, Work
from emulator.images import Catalogue, ImageDefinition
from emulator.opt_ml import TrainingSpec, write_training_tree

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]
SOMEBODY = Person(12345, 12345)


@pytest.fixture(scope="module")
def images(docker_daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of a catalogue with the tests' own."""
    folder = tmp_path_factory.mktemp("images")
    catalogue = Catalogue(folder / "images.toml", (ImageDefinition("words", ("*",), IMAGE_FOLDER),))
    return Images(docker_daemon.client, catalogue, ROOT, folder, print)


@pytest.fixture
def foreign(docker_daemon: Any, images: Images) -> Iterator[str]:
    """The URI of an image that the daemon has and no catalogue knows, as AWS's own would be."""
    name = f"rehearsal-test.example/{uuid.uuid4().hex}:1"
    made = docker_daemon.client.containers.create(images.find("words").reference)
    repository, _, tag = name.rpartition(":")
    made.commit(repository, tag, changes="LABEL sagemaker-rehearsal.project=")  # without our label
    made.remove()
    yield name
    docker_daemon.client.images.remove(name, force=True)


def training(folder: Path, image: str, owner: Person | None = None, **more: Any) -> Work:
    """A job of the tests' image in a tree of its own."""
    base = folder / "opt-ml"
    write_training_tree(base, TrainingSpec(more.pop("hyperparameters", {})))
    if owner:
        for path in [base, *base.rglob("*")]:
            os.chown(path, owner.user, owner.group)
    return Work(f"training-job/{uuid.uuid4().hex}/algo-1", image, "train", base, **more)


def run(container: Container) -> tuple[list[str], int]:
    """Its lines and its exit code."""
    events = list(container.events())
    assert isinstance(events[-1], Exited)
    return [event.text for event in events if isinstance(event, Line)], events[-1].code


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_what_our_images_write_is_the_users(docker_daemon: Any, images: Images, tmp_path: Path) -> None:
    """They run as the user who runs the emulator."""
    engine = DockerEngine(docker_daemon, images, person=SOMEBODY)
    work = training(tmp_path, "words", SOMEBODY)
    assert run(engine.start(work))[1] == 0
    assert {path.stat().st_uid for path in work.base_dir.rglob("*")} == {SOMEBODY.user}
    assert (work.base_dir / "model" / "words.json").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_what_a_foreign_image_writes_becomes_the_users(
    docker_daemon: Any, images: Images, foreign: str, tmp_path: Path
) -> None:
    """An image that the daemon has is used as it is, as root; its files are handed over at the end."""
    engine = DockerEngine(docker_daemon, images, person=SOMEBODY)
    work = training(tmp_path, foreign, SOMEBODY)
    assert run(engine.start(work))[1] == 0
    assert (work.base_dir / "model" / "words.json").stat().st_uid == SOMEBODY.user


def test_limits_are_those_of_the_instance_type(docker_daemon: Any, images: Images, tmp_path: Path) -> None:
    """When asked for: the memory of the type, and its vCPUs as far as this machine has so many."""
    engine = DockerEngine(docker_daemon, images, limits=True)
    work = training(tmp_path, "words", hyperparameters={"hang": "politely"}, instance_type="ml.m5.large")
    container = engine.start(work)
    found = docker_daemon.client.containers.list(filters={"label": f"{WORK}={work.name}"})
    settings = found[0].attrs["HostConfig"]
    container.stop(10)
    assert settings["Memory"] == 8 * 1024**3
    assert settings["NanoCpus"] == min(2, docker_daemon.processors) * 10**9


def test_a_changed_definition_is_another_image(docker_daemon: Any, images: Images, tmp_path: Path) -> None:
    """The tag follows the content of the folder."""
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    definition = ImageDefinition("some", ("*",), folder)
    before = images.tag(definition)
    assert images.tag(definition) == before
    (folder / "requirements.txt").write_text("more\n")
    assert images.tag(definition) != before


def test_leftovers_of_a_killed_emulator_are_removed(docker_daemon: Any, images: Images, tmp_path: Path) -> None:
    """Its container and network are known by their labels once its process is gone."""
    images.find("words")
    base = tmp_path / "opt-ml"
    write_training_tree(base, TrainingSpec({"hang": "stubbornly"}))
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from emulator.engine.docker import DockerEngine\nfrom emulator.engine.docker_daemon import connect\n"
        "from emulator.engine.docker_images import Images\nfrom emulator.engine.port import Work\n"
        "from emulator.images import Catalogue, ImageDefinition\n"
        "daemon, folder = connect(), Path(sys.argv[1])\n"
        "catalogue = Catalogue(folder, (ImageDefinition('words', ('*',), Path(sys.argv[2])),))\n"
        "images = Images(daemon.client, catalogue, folder, folder, print)\n"
        "DockerEngine(daemon, images).start(Work(sys.argv[3], 'words', 'train', folder / 'opt-ml'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    name = f"training-job/{uuid.uuid4().hex}/algo-1"
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(IMAGE_FOLDER), name], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert docker_daemon.client.containers.list(filters={"label": f"{WORK}={name}"})
    assert DockerEngine(docker_daemon, images).remove_leftovers() == [name]
    assert not docker_daemon.client.containers.list(all=True, filters=own_filter())
