"""What only the venv engine does: environments, folders, output of every kind."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from emulator.engine.port import Event, Exited, ImageNotFound, Line, Started, StartFailed, Work
from emulator.engine.venv import VenvEngine
from emulator.environments import EnvironmentFailed
from emulator.images import Catalogue, ImageDefinition


class FakeEnvironments:
    """The interpreter of the tests, or an error."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.asked: list[str] = []

    def python(self, name: str, requirements: Path) -> Path:
        """The interpreter."""
        self.asked.append(name)
        if self.error:
            raise EnvironmentFailed(self.error)
        return Path(sys.executable)

    def built(self, name: str, requirements: Path) -> Path | None:
        """The same; None where there is none yet."""
        return None if self.error else Path(sys.executable)


Run = Callable[..., list[Event]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs Python code as an image's `train` or `serve`, to its end."""

    def run(code: str, command: str = "train", **environment: str) -> list[Event]:
        commands = {command: ("python", "-c", code)}
        image = ImageDefinition("a", ("latest",), tmp_path / "a", commands, python_path="code of ours")  # type: ignore[arg-type]
        engine = VenvEngine(
            Catalogue(tmp_path / "images.toml", (image,)), FakeEnvironments(), tmp_path / "processes", tmp_path
        )
        base = tmp_path / "base"
        base.mkdir()
        work = Work("a", "a", command, base, environment=environment)  # type: ignore[arg-type]
        return list(engine.start(work).events())

    return run


def texts(events: Sequence[Event]) -> list[str]:
    """The lines among the events."""
    return [event.text for event in events if isinstance(event, Line)]


def test_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program sees where its tree is and its own settings, and nothing of the user's but the harmless."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the user's")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv("LC_TIME", "C")
    events = run("import json, os; print(json.dumps({**os.environ, 'cwd': os.getcwd()}))", MINE="1", TMPDIR="/mine")
    seen = json.loads(texts(events)[0])
    base = tmp_path / "base"
    assert seen["SAGEMAKER_BASE_DIR"] == seen["cwd"] == str(base)
    assert Path(seen["HOME"]).is_dir()
    assert Path(seen["HOME"]).is_relative_to(base)
    assert seen["PYTHONPATH"] == str(tmp_path / "code of ours")
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert (seen["MINE"], seen["TMPDIR"], seen["LC_TIME"]) == ("1", "/mine", "C")
    assert not {"AWS_SECRET_ACCESS_KEY", "PYTHONWARNINGS", "SAGEMAKER_BIND_TO_PORT"} & set(seen)


def test_a_request_cannot_say_where_things_are(run: Run, tmp_path: Path) -> None:
    """Neither tree nor port are its to name, its modules come after ours, and no folder is made where it says."""
    elsewhere = tmp_path / "elsewhere"
    events = run(
        "import json, os; print(json.dumps(dict(os.environ)))",
        "serve",
        SAGEMAKER_BASE_DIR="/opt/ml",
        SAGEMAKER_BIND_TO_PORT="80",
        SAGEMAKER_REHEARSAL_PROCESS="another's",
        PYTHONPATH="/mine",
        HOME=str(elsewhere / "home"),
        TMPDIR=str(elsewhere / "tmp"),
    )
    seen = json.loads(texts(events)[0])
    assert seen["SAGEMAKER_BASE_DIR"] == str(tmp_path / "base")
    assert seen["SAGEMAKER_BIND_TO_PORT"] != "80"
    assert seen["SAGEMAKER_REHEARSAL_PROCESS"] != "another's"
    assert seen["PYTHONPATH"] == f"{tmp_path / 'code of ours'}:/mine"
    assert seen["HOME"] == str(elsewhere / "home")
    assert not elsewhere.exists()


@pytest.mark.parametrize("value", ["a\nb; touch planted", "$(touch planted)", "'\"`", " lead and trail ", "ä漢"])
def test_values_arrive_as_they_are(run: Run, tmp_path: Path, value: str) -> None:
    """Nothing reads them on their way: no shell, no file of lines."""
    events = run("import json, os; print(json.dumps(os.environ['VALUE']))", VALUE=value)
    assert json.loads(texts(events)[0]) == value
    assert list(tmp_path.rglob("planted")) == []


def test_the_rights_of_what_it_writes(run: Run, tmp_path: Path) -> None:
    """As in a container, whoever runs the emulator and with whichever umask: they go into the model's archive."""
    before = os.umask(0o077)
    try:
        run("open('file', 'w').close(); import os; os.mkdir('folder')")
    finally:
        os.umask(before)
    assert (tmp_path / "base/file").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "base/folder").stat().st_mode & 0o777 == 0o755


def test_a_value_that_no_environment_can_hold(run: Run) -> None:
    """A NUL byte passes AWS's pattern; the job fails with the reason."""
    with pytest.raises(StartFailed, match="null byte"):
        run("", VALUE="a\0b")


def test_serve_is_told_its_port(tmp_path: Path, run: Run) -> None:
    """A server finds the port in SAGEMAKER_BIND_TO_PORT, and can bind it."""
    code = "import os, socket; print(socket.create_server(('127.0.0.1', int(os.environ['SAGEMAKER_BIND_TO_PORT']))))"
    assert run(code, "serve")[-1] == Exited(0)


def test_very_much_output(run: Run) -> None:
    """100,000 lines arrive, all of them, in a few seconds."""
    began = time.monotonic()
    events = run("for i in range(100_000): print('line', i, 'x' * 60)")
    assert texts(events) == [f"line {i} {'x' * 60}" for i in range(100_000)]
    assert time.monotonic() - began < 20


def test_odd_output(run: Run) -> None:
    """Bytes that are not UTF-8, empty lines, and a last line without a newline all arrive."""
    events = run(r"import sys; sys.stdout.buffer.write(b'a\xff\n\nb')")
    assert events == [Started(), Line("a\ufffd"), Line(""), Line("b"), Exited(0)]


def test_no_output(run: Run) -> None:
    """A program may say nothing."""
    assert run("pass") == [Started(), Exited(0)]


@pytest.mark.parametrize("new_session", [False, True])
def test_the_end_of_the_program_is_the_end_of_all(run: Run, new_session: bool) -> None:
    """A child that it left behind, with the pipe in hand, is ended as in a container."""
    code = f"""
import subprocess, sys
def leave(code, **options):
    return subprocess.Popen([sys.executable, "-c", code], start_new_session={new_session}, **options)
writer = leave("import time; print(1, flush=True); time.sleep(1000)", stdout=subprocess.PIPE)
writer.stdout.readline()
holder = leave("import time; time.sleep(1000)")
print(writer.pid, holder.pid)
"""
    began = time.monotonic()
    events = run(code)
    assert events[-1] == Exited(0)
    assert time.monotonic() - began < 10
    for pid in texts(events)[0].split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_an_environment_that_cannot_be_built(tmp_path: Path) -> None:
    """It is ImageNotFound, with the image and the reason."""
    image = ImageDefinition("a", ("latest",), tmp_path / "a", {"train": ("python",)})
    catalogue = Catalogue(tmp_path / "images.toml", (image,))
    engine = VenvEngine(catalogue, FakeEnvironments("no network"), tmp_path / "processes", tmp_path)
    with pytest.raises(ImageNotFound, match=r"'host\.example/a:latest'.*no network"):
        engine.prepare("host.example/a:latest")


def test_an_image_without_the_command(run: Run, tmp_path: Path) -> None:
    """A training image that is asked to serve is StartFailed, which says where a command could be added."""
    image = ImageDefinition("a", ("latest",), tmp_path / "a", {"train": ("python",)})
    engine = VenvEngine(
        Catalogue(tmp_path / "images.toml", (image,)), FakeEnvironments(), tmp_path / "processes", tmp_path
    )
    with pytest.raises(StartFailed, match=r"'serve'.*images\.toml"):
        engine.start(Work("a", "a", "serve", tmp_path))


# As its own `serve`, but for the order: it waits first.
STANDBY = """
import json, os, sys
if "--standby" in sys.argv:
    told = json.loads(sys.stdin.readline())
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
print(json.dumps([dict(os.environ), os.getcwd(), "--standby" in sys.argv]))
"""


@pytest.mark.parametrize(("variable", "waited"), [("SAGEMAKER_X", True), ("TF_X", False)])
def test_a_server_that_waited_sees_what_one_started_now_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, waited: bool
) -> None:
    """Environment and folder are the same, but for port and token; one whose variables matter to an import is new."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    serve = ("python", "-c", STANDBY)
    image = ImageDefinition("a", ("latest",), tmp_path / "a", {"serve": serve}, standby=(*serve, "--standby"))
    engine = VenvEngine(
        Catalogue(tmp_path / "images.toml", (image,)), FakeEnvironments(), tmp_path / "processes", tmp_path
    )
    seen = []
    for warm in (False, True):
        base = tmp_path / f"base-{warm}"
        base.mkdir()
        if warm:
            engine.warm_up()
        work = Work("endpoint/e", "a", "serve", base, environment={variable: "1"})
        (line,) = texts(list(engine.start(work).events()))
        environment, folder, was_waiting = json.loads(line.replace(str(base), "BASE"))
        assert was_waiting is (warm and waited)
        assert environment.pop("SAGEMAKER_BIND_TO_PORT").isdigit()
        environment.pop("SAGEMAKER_REHEARSAL_PROCESS")
        seen.append((environment, folder))
    engine.stop()
    assert seen[0] == seen[1]
    assert seen[0][0][variable] == "1"


@pytest.mark.parametrize(("processors", "error"), [(1, ""), (2, "not built yet")])
def test_no_server_waits_where_it_would_be_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int, error: str
) -> None:
    """On one processor the job needs it; and no environment is built for what may not be asked for."""
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    image = ImageDefinition("a", ("latest",), tmp_path / "a", {}, standby=("python", "-c", "input()"))
    engine = VenvEngine(
        Catalogue(tmp_path / "images.toml", (image,)), FakeEnvironments(error), tmp_path / "processes", tmp_path
    )
    engine.warm_up()
    assert list((tmp_path / "processes").glob("*.json")) == []


def test_all_images_are_built_before_anybody_asks(tmp_path: Path) -> None:
    """Each of the catalogue; one that cannot be is named, with the reason."""
    catalogue = Catalogue(
        tmp_path / "images.toml", tuple(ImageDefinition(name, ("1",), tmp_path / name) for name in ("train", "serve"))
    )
    environments = FakeEnvironments()
    VenvEngine(catalogue, environments, tmp_path / "processes", tmp_path).build_all()
    assert environments.asked == ["train", "serve"]
    broken = VenvEngine(catalogue, FakeEnvironments("no network"), tmp_path / "processes", tmp_path)
    with pytest.raises(ImageNotFound, match=r"^The image train could not be made ready. no network$"):
        broken.build_all()
