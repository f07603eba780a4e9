"""What every engine must do; the fake one too, so that what is tested with it is tested against the truth."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emulator.engine.fake import FakeEngine, History
from emulator.engine.port import Container, Engine, Event, Exited, ImageNotFound, Line, Started, StartFailed, Work
from emulator.engine.venv import VenvEngine
from emulator.images import Catalogue, ImageDefinition

SLEEP = "import signal, sys, time\nprint('ready', flush=True)\ntime.sleep(1000)"
FINDS = """
import os
base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
print(os.path.join("models", *os.listdir(os.path.join(base, "models"))))
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP

ARGUMENTS = ["a b", "$HOME", "*", "'\"", "; exit 3", "$(exit 4)"]

# An image a behaviour: what the fake's script says of it, and a Python program that behaves so.
BEHAVIOURS = {
    "prints": (History(("one", "two")), "import sys\nprint('one')\nprint('two', file=sys.stderr)"),
    "fails": (History(("oh",), code=3), "print('oh')\nraise SystemExit(3)"),
    "waits": (History(("ready",), runs_until_stopped=True), SLEEP),
    "stubborn": (History(("ready",), runs_until_stopped=True, ignores_sigterm=True), STUBBORN),
    "killed": (History(("oh",), code=137), "import os\nprint('oh', flush=True)\nos.kill(os.getpid(), 9)"),
    "serves": (History(("ready",), runs_until_stopped=True, address="127.0.0.1:1"), SLEEP),
    "finds": (History(("models/later",)), FINDS),
    "broken": (History(fails_to_start="no"), None),
    # What the image does by itself is not what the tests ask of these.
    "takes": (History((str(ARGUMENTS),)), "print('the image itself')"),
    "misses": (History(code=127), "print('the image itself')"),
}

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = """
ARG BASE
FROM ${BASE}
COPY docker/ /image/
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["sh", "-c", "exec python3 /image/*/program.py"]
"""
# A file where the folder /opt/ml must be: such a container cannot start.
NO_OPT_ML = "FROM scratch\nCOPY docker/broken/program.py /opt/ml\n"


@dataclass(frozen=True)
class FakeEnvironments:
    """Every environment is the one of the tests."""

    def python(self, name: str, requirements: Path) -> Path:
        """The interpreter of the tests."""
        return Path(sys.executable) if name != "broken" else Path("/nonexistent/python")

    def built(self, name: str, requirements: Path) -> Path | None:
        """It is there."""
        return self.python(name, requirements)


def venv_engine(tmp_path: Path) -> Engine:
    """The venv engine, with an image for each behaviour."""
    images = []
    for name, (_, code) in BEHAVIOURS.items():
        command = ("python", "-c", code or "")
        images.append(ImageDefinition(name, ("latest",), tmp_path / name, {"train": command, "serve": command}))
    catalogue = Catalogue(tmp_path / "images.toml", tuple(images))
    return VenvEngine(catalogue, FakeEnvironments(), tmp_path / "processes", tmp_path)


def fake_engine(tmp_path: Path) -> Engine:
    """The fake engine, with the same images."""
    return FakeEngine({name: history for name, (history, _) in BEHAVIOURS.items()})


@pytest.fixture(scope="session")
def docker_images(docker_daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The Docker engine's images, one for each behaviour, built on the base of the real ones; removed afterwards."""
    from emulator.engine.docker_images import Images

    folder = tmp_path_factory.mktemp("images")
    definitions = []
    for name, (_, code) in BEHAVIOURS.items():
        image = folder / name
        image.mkdir()
        (image / "program.py").write_text(code or "", "utf-8")
        (image / "Dockerfile").write_text(DOCKERFILE if code else NO_OPT_ML, "utf-8")
        definitions.append(ImageDefinition(name, ("latest",), image))
    catalogue = Catalogue(folder / "images.toml", tuple(definitions))
    images = Images(docker_daemon.client, catalogue, REPOSITORY, folder, print)
    yield images
    for definition in definitions:
        for found in docker_daemon.client.images.list(images.tag(definition)):
            docker_daemon.client.images.remove(found.id, force=True)


def docker_engine(request: pytest.FixtureRequest) -> Engine:
    """The Docker engine, with the same images."""
    from emulator.engine.docker import DockerEngine

    return DockerEngine(request.getfixturevalue("docker_daemon"), request.getfixturevalue("docker_images"))


@pytest.fixture(params=["fake", "venv", pytest.param("docker", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine in turn."""
    if request.param == "docker":
        return docker_engine(request)
    return {"fake": fake_engine, "venv": venv_engine}[request.param](tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Callable[[str], Work]:
    """Makes the work of running an image."""

    def work(image: str) -> Work:
        base = tmp_path / "opt-ml"
        base.mkdir(exist_ok=True)
        return Work(f"training-job/{image}/algo-1", image, "serve" if image == "serves" else "train", base)

    return work


def until_ready(container: Container) -> list[Event]:
    """Reads its events in a thread until it has written a line; the list goes on growing until it has ended."""
    seen: list[Event] = []
    ready = threading.Event()

    def read() -> None:
        for event in container.events():
            seen.append(event)
            if isinstance(event, Line):
                ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(30)
    return seen


def wait_for(condition: Callable[[], bool]) -> None:
    """Polls the condition, at most for ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_events_in_order(engine: Engine, work: Callable[[str], Work]) -> None:
    """Started comes first, then the lines of both streams, then Exited with code 0."""
    container = engine.start(work("prints"))
    assert list(container.events()) == [Started(), Line("one"), Line("two"), Exited(0)]
    assert not container.alive()


@pytest.mark.parametrize(("image", "code"), [("fails", 3), ("killed", 137)])
def test_exit_code(engine: Engine, work: Callable[[str], Work], image: str, code: int) -> None:
    """The exit code is the program's own, and 128 + N for a signal N; the lines before it are all there."""
    assert list(engine.start(work(image)).events()) == [Started(), Line("oh"), Exited(code)]


@pytest.mark.parametrize(("image", "grace", "code"), [("waits", 20, 143), ("stubborn", 0.3, 137), ("waits", 0, 137)])
def test_stop(engine: Engine, work: Callable[[str], Work], image: str, grace: float, code: int) -> None:
    """Stop ends it by SIGTERM, or by SIGKILL after the grace, and when it returns nothing runs; again does no harm."""
    container = engine.start(work(image))
    seen = until_ready(container)
    assert container.alive()
    container.stop(grace)
    assert not container.alive()
    container.stop(grace)
    wait_for(lambda: len(seen) == 3)
    assert seen == [Started(), Line("ready"), Exited(code)]


def test_an_entry_point_of_its_own(engine: Engine, work: Callable[[str], Work]) -> None:
    """It runs instead of what the image has, found by the image's PATH; no shell reads its arguments."""
    given = replace(
        work("takes"), entrypoint=("python3", "-c", "import sys; print(sys.argv[1:])"), arguments=tuple(ARGUMENTS)
    )
    assert list(engine.start(given).events()) == [Started(), Line(str(ARGUMENTS)), Exited(0)]


def test_an_entry_point_that_is_not_there(engine: Engine, work: Callable[[str], Work]) -> None:
    """Its end is a container's: status 127."""
    events = list(engine.start(replace(work("misses"), entrypoint=("no-such-program",))).events())
    assert events[-1] == Exited(127)


def test_stop_after_the_end_does_nothing(engine: Engine, work: Callable[[str], Work]) -> None:
    """The code stays what it was."""
    container = engine.start(work("fails"))
    events = list(container.events())
    container.stop(10)
    assert events[-1] == Exited(3)
    assert not container.alive()


def test_two_at_once(engine: Engine, work: Callable[[str], Work]) -> None:
    """Ending one container leaves another of the same image alone."""
    first, second = engine.start(work("waits")), engine.start(work("waits"))
    until_ready(first)
    until_ready(second)
    first.stop(10)
    assert second.alive()
    second.stop(10)


def test_address(engine: Engine, work: Callable[[str], Work]) -> None:
    """`serve` has an address of loopback, `train` has none."""
    serving = engine.start(work("serves"))
    until_ready(serving)
    host, _, port = serving.address.partition(":")
    assert host.startswith("127.")
    assert int(port) > 0
    serving.stop(10)
    training = engine.start(work("prints"))
    assert training.address == ""
    list(training.events())


def test_base_dir(engine: Engine, work: Callable[[str], Work]) -> None:
    """The tree is where the container is told that it is, with folders that nobody spoke of."""
    finds = work("finds")
    (finds.base_dir / "models" / "later").mkdir(parents=True)
    container = engine.start(finds)
    assert container.base_dir == ("/opt/ml" if engine.name == "docker" else str(finds.base_dir))
    assert list(container.events()) == [Started(), Line("models/later"), Exited(0)]


def test_unknown_image(engine: Engine, work: Callable[[str], Work]) -> None:
    """An image that nobody knows is ImageNotFound, which names it, when preparing and when starting."""
    with pytest.raises(ImageNotFound, match="unheard-of"):
        engine.prepare("unheard-of")
    with pytest.raises(ImageNotFound, match="unheard-of"):
        engine.start(work("unheard-of"))


def test_start_failed(engine: Engine, work: Callable[[str], Work]) -> None:
    """An image that is there but does not start is StartFailed, which names the work."""
    with pytest.raises(StartFailed, match="training-job/broken/algo-1"):
        engine.start(work("broken"))


def test_prepare(engine: Engine) -> None:
    """A known image can be prepared, twice as well."""
    engine.prepare("prints")
    engine.prepare("prints")


def test_a_network_joins_the_hosts_of_a_job(engine: Engine, work: Callable[[str], Work]) -> None:
    """Hosts start in it, and it can be closed after them, twice as well; another job's is another one."""
    network, other = (engine.connect(f"training-job/{name}", ["algo-1", "algo-2"]) for name in "ab")
    assert network is not other
    for host in ("algo-1", "algo-2"):
        container = engine.start(replace(work("prints"), name=f"training-job/a/{host}", host=host, network=network))
        assert list(container.events())[-1] == Exited(0)
    for joined in (network, network, other):
        joined.close()
