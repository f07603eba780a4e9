"""What only the Docker engine does: users, limits, images of the daemon's own, leftovers, the way to this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated import IMAGE_FOLDER

from emulator.engine.choice import end_leftovers
from emulator.engine.docker import DockerEngine, Person
from emulator.engine.docker_images import Images
from emulator.engine.docker_labels import WORK
from emulator.engine.port import Container, EngineLost, Started, StartFailed, Work
from emulator.images import ImageDefinition
from emulator.opt_ml import TrainingSpec, write_training_tree

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]
SOMEBODY = Person(12345, 12345)
Training = Callable[..., Work]
Finish = Callable[[Container], tuple[list[str], int]]


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


@pytest.mark.parametrize("kind", ["built here", "foreign"])
def test_what_is_written_is_that_of_the_user_who_runs_it(
    engine: DockerEngine, foreign: str, training: Training, finish: Finish, kind: str
) -> None:
    """Whoever that is, and whoever wrote it."""
    work = training("words" if kind == "built here" else foreign)
    assert finish(engine.start(work))[1] == 0
    assert {path.stat().st_uid for path in work.base_dir.rglob("*")} == {os.getuid()}
    assert (work.base_dir / "model" / "words.json").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_what_our_images_write_is_the_users(
    docker_daemon: Any, images: Images, training: Training, finish: Finish
) -> None:
    """They run as the user who runs the emulator."""
    engine = DockerEngine(docker_daemon, images, person=SOMEBODY)
    work = training(owner=SOMEBODY)
    assert finish(engine.start(work))[1] == 0
    assert {path.stat().st_uid for path in work.base_dir.rglob("*")} == {SOMEBODY.user}
    assert (work.base_dir / "model" / "words.json").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_what_a_foreign_image_writes_becomes_the_users(
    docker_daemon: Any, images: Images, foreign: str, training: Training, finish: Finish
) -> None:
    """An image that the daemon has is used as it is, as root; its files are handed over at the end."""
    engine = DockerEngine(docker_daemon, images, person=SOMEBODY)
    work = training(foreign, SOMEBODY)
    assert finish(engine.start(work))[1] == 0
    assert (work.base_dir / "model" / "words.json").stat().st_uid == SOMEBODY.user


def test_limits_are_those_of_the_instance_type(docker_daemon: Any, images: Images, training: Training) -> None:
    """When asked for: the memory of the type, and its vCPUs as far as this machine has so many."""
    engine = DockerEngine(docker_daemon, images, limits=True)
    work = training(hyperparameters={"hang": "politely"}, instance_type="ml.m5.large")
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


def test_leftovers_of_a_killed_emulator_are_removed(
    engine: DockerEngine, docker_daemon: Any, images: Images, training: Training, tmp_path: Path
) -> None:
    """Its container and network are known by their labels once its process is gone; what the living run stays."""
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
    living = engine.start(training(hyperparameters={"hang": "politely"}))
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(IMAGE_FOLDER), name], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert docker_daemon.client.containers.list(filters={"label": f"{WORK}={name}"})
    assert name in end_leftovers(tmp_path / "processes", docker_daemon)
    assert not docker_daemon.client.containers.list(all=True, filters={"label": f"{WORK}={name}"})
    assert not docker_daemon.client.networks.list(filters={"label": f"{WORK}={name}"})
    assert living.alive()
    living.stop(10)


@pytest.mark.parametrize(("given", "expected"), [("a.example", ["a.example", "{}"]), ("*", ["*"])])
def test_this_machine_needs_no_proxy(
    engine: DockerEngine,
    training: Training,
    finish: Finish,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    expected: list[str],
) -> None:
    """A container is told the user's proxy, and not to ask it for what is here; what the job sets itself wins."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:1")
    monkeypatch.setenv("no_proxy", given)
    program = "import os; print(os.environ['https_proxy']); print(os.environ['no_proxy'])"
    work = training(hyperparameters={"program": program}, environment={"https_proxy": "http://own.example:1"})
    (proxy, direct), _ = finish(engine.start(work))
    assert proxy == "http://own.example:1"
    assert {each.format(engine.host_address) for each in expected} <= set(direct.split(","))
    assert (direct == "*") == (given == "*")


def test_a_folder_that_is_not_there_is_not_made(engine: DockerEngine, training: Training, tmp_path: Path) -> None:
    """Nor by the daemon, as root: the start fails, and says what is missing."""
    work = replace(training(), base_dir=tmp_path / "gone: with a colon")
    with pytest.raises(StartFailed, match="gone: with a colon"):
        engine.start(work)
    assert not work.base_dir.exists()


def test_a_log_like_a_flood_is_read_to_its_last_line(engine: DockerEngine, training: Training, finish: Finish) -> None:
    """100,000 lines come as they were written, none is lost, none twice."""
    program = (
        "import sys\nfor number in range(100_000): print('line', number, file=[sys.stdout, sys.stderr][number % 2])"
    )
    lines, code = finish(engine.start(training(hyperparameters={"program": program})))
    assert code == 0
    assert len(lines) == 100_000
    assert all(line == f"line {number}" for number, line in enumerate(lines))


def test_a_container_that_somebody_removes_is_lost(
    engine: DockerEngine, docker_daemon: Any, training: Training
) -> None:
    """It is said so, and nothing of it stays."""
    work = training(hyperparameters={"hang": "stubbornly"})
    container = engine.start(work)
    events = container.events()
    assert next(events) == Started()
    (found,) = docker_daemon.client.containers.list(filters={"label": f"{WORK}={work.name}"})
    found.remove(force=True)
    with pytest.raises(EngineLost, match=found.id):
        list(events)
    assert not container.alive()
