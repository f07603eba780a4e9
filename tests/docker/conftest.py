"""What all tests of the Docker engine share: they need a daemon, and leave nothing there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from emulated import IMAGE_FOLDER
from rehearsal import ROOT

from emulator.engine.docker import DockerEngine, Person
from emulator.engine.docker_images import Images
from emulator.engine.docker_labels import OWNER, own_filter, owner_lives
from emulator.engine.port import Container, Exited, Line, Work
from emulator.images import Catalogue, ImageDefinition
from emulator.opt_ml import TrainingSpec, write_training_tree


def parents(pid: int) -> Iterator[int]:
    """A process and those that it descends from."""
    while pid:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def somebody_elses(labels: Mapping[str, str]) -> bool:
    """Whether an emulator that lives, and that this test run did not start, made it."""
    return owner_lives(labels) and os.getpid() not in parents(int(labels[OWNER].partition(":")[0]))


def made_here(client: Any) -> set[str]:
    """What these tests' emulators, and those that were killed, have in the daemon now: containers and networks."""
    containers = client.containers.list(all=True, filters=own_filter(), ignore_removed=True)
    found = {container.name: container.labels for container in containers}
    found |= {network.name: network.attrs["Labels"] for network in client.networks.list(filters=own_filter())}
    return {name for name, labels in found.items() if not somebody_elses(labels)}


@pytest.fixture
def nothing_left(docker_daemon: Any) -> Iterator[None]:
    """Fails a test that leaves a container or a network."""
    before = made_here(docker_daemon.client)
    yield
    assert made_here(docker_daemon.client) <= before


@pytest.fixture(scope="session")
def images(docker_daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of a catalogue with the tests' own, `words`."""
    folder = tmp_path_factory.mktemp("images")
    catalogue = Catalogue(folder / "images.toml", (ImageDefinition("words", ("*",), IMAGE_FOLDER),))
    return Images(docker_daemon.client, catalogue, ROOT, folder, print)


@pytest.fixture
def engine(docker_daemon: Any, images: Images) -> DockerEngine:
    """The Docker engine with the tests' image."""
    return DockerEngine(docker_daemon, images)


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Work]:
    """Makes a job of the tests' image in a tree of its own; hyperparameters and what else Work takes by name."""

    def training(image: str = "words", owner: Person | None = None, **more: Any) -> Work:
        name = uuid.uuid4().hex
        base = tmp_path / name
        write_training_tree(base, TrainingSpec(more.pop("hyperparameters", {})))
        if owner:
            for path in [base, *base.rglob("*")]:
                os.chown(path, owner.user, owner.group)
        return Work(f"training-job/{name}/algo-1", image, "train", base, **more)

    return training


@pytest.fixture
def finish() -> Callable[[Container], tuple[list[str], int]]:
    """Reads a container's lines and its exit code."""

    def finish(container: Container) -> tuple[list[str], int]:
        events = list(container.events())
        assert isinstance(events[-1], Exited)
        return [event.text for event in events if isinstance(event, Line)], events[-1].code

    return finish
