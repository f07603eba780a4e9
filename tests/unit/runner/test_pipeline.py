"""However a run ends, it cleans up, tells why, and loses no error over another."""

from __future__ import annotations

import ast
import configparser
import io
import json
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner import config, pipeline, remove, services
from runner.errors import RunnerError, SettingsError
from runner.platform import Platform
from runner.progress import Progress, Screen
from runner.report import Report
from runner.settings import Settings
from runner.signals import Interrupted
from runner.workflow import Workflow

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "src" / "runner").glob("*.py"))


@dataclass
class FakeServices:
    """Raises what it was given, where it was given it, and notes what was called."""

    errors: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    death: str | None = None

    def start(self) -> None:
        """Starts nothing."""
        self._call("start")

    def check(self) -> None:
        """Looks at nothing."""
        self._call("check")

    def connect(self) -> services.Connection:
        """Connects to nothing."""
        self._call("connect")
        return services.Connection("none", "a test")

    def platform(self, settings: Settings) -> Platform:
        """There is none."""
        raise NotImplementedError

    def died(self) -> str | None:
        """What a test says."""
        return self.death

    def stop(self, *, keep: bool) -> None:
        """Stops nothing."""
        self._call(f"stop keep={keep}")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        error = self.errors.get(name.partition(" ")[0])
        if error:
            raise error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The project's own, with little data, and everything written below the test's folder."""
    given = {
        "NUM_USERS": "20",
        "NUM_MOVIES": "30",
        "NUM_CLUSTERS": "2",
        "GENERATED_DATA_PATH": str(tmp_path / "generated"),
        "TRAINING_DATA_PATH": str(tmp_path / "matrix"),
        "REPORT_DIR": str(tmp_path / "report"),
    }
    return config.load(
        ["--mode", "local", "--config", str(ROOT / "runner.toml")],
        {f"REHEARSAL_{name}": value for name, value in given.items()},
    )


@pytest.fixture
def back_end(monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    """What the run gets for services; the SDK's import is none of these tests' business."""
    monkeypatch.setattr("runner.workflow.preload", lambda: None)
    return FakeServices()


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The clean-up's shield leaves the handlers as they were."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    yield
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def screen() -> Screen:
    """A terminal to read afterwards."""
    return Screen(file=io.StringIO(), width=200)


def shown(console: Screen) -> str:
    """What stands on it."""
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def written(settings: Settings) -> dict[str, Any]:
    """The report."""
    report: dict[str, Any] = json.loads((settings.report_dir / "report.json").read_text())
    return report


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes elsewhere for want of its own place."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def broken(error: Exception) -> Callable[[], None]:
    """A clean-up that fails."""

    def undo() -> None:
        raise error

    return undo


def test_clean_up_goes_on_where_one_fails(settings: Settings, back_end: FakeServices) -> None:
    """The last made is undone first; whatever the outside world raises is a message, and the rest is undone."""
    undone: list[str] = []
    workflow = Workflow(settings, {}, Progress(screen()), Report("local", "run"), back_end)
    workflow.cleanups += [
        lambda: undone.append("first"),
        broken(RunnerError("not removed")),
        lambda: undone.append("second"),
        broken(OSError("no network")),
        broken(AttributeError("of somebody else's code")),
        lambda: undone.append("third"),
    ]
    assert workflow.clean_up() == ["AttributeError: of somebody else's code", "no network", "not removed"]
    assert undone == ["third", "second", "first"]


def test_a_back_end_that_died_needs_no_removal(settings: Settings, back_end: FakeServices) -> None:
    """What ran in it ended with it: nothing is asked of a dead port, and no false alarm of costs is given."""
    back_end.death = "the emulator ended unexpectedly"
    workflow = Workflow(settings, {}, Progress(screen()), Report("local", "run"), back_end)
    workflow.cleanups += [workflow.stop, broken(AssertionError("asked a dead port"))]
    assert workflow.clean_up() == ["the emulator ended unexpectedly"]
    assert back_end.calls == ["stop keep=False"]


def test_neither_the_cause_nor_the_clean_ups_error_is_lost(settings: Settings, back_end: FakeServices) -> None:
    """The run ends with the first error; the report and the terminal have both."""
    back_end.errors = {"connect": RunnerError("did not start"), "stop": RunnerError("was killed")}
    console = screen()
    with pytest.raises(RunnerError, match=r"^did not start$"):
        pipeline.run(settings, {}, Progress(console), back_end)
    report = written(settings)
    assert report["error"] == "did not start\nwas killed"
    assert "was killed" in shown(console)
    assert [(step["name"], step["status"]) for step in report["steps"]] == [
        ("generate", "done"),
        ("preprocess", "done"),
        ("connect", "failed"),
        ("stop", "failed"),
    ]
    assert back_end.calls == ["check", "connect", "stop keep=False"]
    assert report["removed"] is False


def test_what_the_outside_world_raises_is_told_with_its_kind(settings: Settings, back_end: FakeServices) -> None:
    """An OSError's message alone seldom says what it is."""
    back_end.errors = {"connect": ConnectionResetError("by peer")}
    with pytest.raises(RunnerError, match=r"^ConnectionResetError: by peer$"):
        pipeline.run(settings, {}, Progress(screen()), back_end)
    assert written(settings)["error"] == "ConnectionResetError: by peer"


def test_a_defect_of_ours_is_raised_as_it_is_after_the_clean_up(settings: Settings, back_end: FakeServices) -> None:
    """Its traceback is wanted, and still nothing may be left."""
    back_end.errors = {"connect": ZeroDivisionError("a defect")}
    with pytest.raises(ZeroDivisionError, match="a defect"):
        pipeline.run(settings, {}, Progress(screen()), back_end)
    assert back_end.calls[-1] == "stop keep=False"
    assert written(settings)["error"] == "a defect"


def test_a_start_that_has_failed_ends_the_run_before_it_does_more(settings: Settings, back_end: FakeServices) -> None:
    """Nothing waits for what will not come."""
    back_end.errors = {"check": RunnerError("did not start")}
    with pytest.raises(RunnerError, match=r"^did not start$"):
        pipeline.run(settings, {}, Progress(screen()), back_end)
    assert [step["name"] for step in written(settings)["steps"]] == ["generate", "stop"]


def test_more_clusters_than_users_are_refused_before_anything_is_connected(
    settings: Settings, back_end: FakeServices
) -> None:
    """The job would find out after minutes that are paid for."""
    with pytest.raises(SettingsError, match="num_clusters = 17: there are only 16 users"):
        pipeline.run(settings.model_copy(update={"num_clusters": 17}), {}, Progress(screen()), back_end)
    assert back_end.calls == ["check", "stop keep=False"]


def test_an_interrupted_run_keeps_its_status(settings: Settings, back_end: FakeServices) -> None:
    """A clean-up that fails does not make another error of it."""
    back_end.errors = {"connect": Interrupted(signal.SIGTERM), "stop": RunnerError("was killed")}
    with pytest.raises(Interrupted) as caught:
        pipeline.run(settings, {}, Progress(screen()), back_end)
    assert caught.value.exit_status == 143
    report = written(settings)
    assert report["error"] == "SIGTERM\nwas killed"
    assert report["steps"][-2]["status"] == "interrupted"


@pytest.fixture
def run_through(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let all steps succeed at once; returns the clean-ups that are due then, to be added to."""
    cleanups: list[Callable[[], None]] = []
    monkeypatch.setattr(Workflow, "run", lambda workflow: workflow.cleanups.extend(cleanups))
    return cleanups


def test_a_run_that_got_through_and_cleaned_up_has_no_error(
    settings: Settings, back_end: FakeServices, run_through: list[Callable[[], None]]
) -> None:
    """Its report is returned, and written."""
    report = pipeline.run(settings, {}, Progress(screen()), back_end)
    assert run_through == []
    assert report.error is None
    assert written(settings)["run_name"] == report.run_name


def test_a_run_that_only_fails_to_clean_up_fails(
    settings: Settings, back_end: FakeServices, run_through: list[Callable[[], None]]
) -> None:
    """What is left may cost money; the report names it, once."""
    run_through += [broken(RunnerError("one")), broken(RunnerError("two"))]
    with pytest.raises(RunnerError, match=r"^two\none$"):
        pipeline.run(settings, {}, Progress(screen()), back_end)
    assert written(settings)["error"] == "two\none"


def test_a_report_that_cannot_be_written_is_an_error(
    settings: Settings, tmp_path: Path, back_end: FakeServices, run_through: list[Callable[[], None]]
) -> None:
    """The setting is named."""
    (tmp_path / "file").touch()
    elsewhere = settings.model_copy(update={"report_dir": tmp_path / "file" / "report"})
    with pytest.raises(RunnerError, match=r"^report_dir = .*/file/report: the report cannot be written"):
        pipeline.run(elsewhere, {}, Progress(screen()), back_end)
    assert run_through == []


@pytest.mark.parametrize("first", [RunnerError("did not start"), Interrupted(signal.SIGINT)])
def test_a_report_that_cannot_be_written_does_not_hide_the_cause(
    settings: Settings, tmp_path: Path, back_end: FakeServices, first: BaseException
) -> None:
    """The run ends with the first error, and tells the other."""
    back_end.errors = {"connect": first}
    (tmp_path / "file").touch()
    console = screen()
    with pytest.raises(type(first)) as caught:
        pipeline.run(
            settings.model_copy(update={"report_dir": tmp_path / "file" / "report"}), {}, Progress(console), back_end
        )
    assert caught.value is first
    assert "the report cannot be written" in shown(console)


@pytest.mark.parametrize("mode", config.MODES)
def test_tox_waits_for_the_clean_up(mode: str) -> None:
    """After Ctrl-C tox kills what does not end in time: in the middle of a removal that waits for AWS."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    value = ini[f"testenv:{mode}"]["suicide_timeout"]
    reference = re.fullmatch(r"\{\[(.+)\](.+)\}", value)
    seconds = ini[reference[1]][reference[2]] if reference else value
    assert float(seconds) >= remove.DEADLINE_SECONDS


def branches_on_mode(tree: ast.Module) -> list[int]:
    """The lines where something depends on the mode: it is compared, matched, looked up, or is a condition."""
    deciding: list[ast.AST] = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare() | ast.BoolOp():
                deciding.append(node)
            case ast.If() | ast.IfExp() | ast.While() | ast.Assert():
                deciding.append(node.test)
            case ast.Match():
                deciding.append(node.subject)
            case ast.Subscript():
                deciding.append(node.slice)
            case ast.comprehension():
                deciding += node.ifs
    return sorted(
        {
            part.lineno
            for each in deciding
            for part in ast.walk(each)
            if (isinstance(part, ast.Attribute) and part.attr == "mode")
            or (isinstance(part, ast.Name) and part.id == "mode")
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "if settings.mode == 'local': pass",
        "x = 1 if run.settings.mode else 2",
        "match settings.mode:\n    case 'aws': pass",
        "local = settings.mode in ('local',)",
        "table[settings.mode]()",
    ],
)
def test_a_decision_by_the_mode_is_found(text: str) -> None:
    """The test below can fail."""
    assert branches_on_mode(ast.parse(text)) == [1]


@pytest.mark.parametrize("module", [path for path in MODULES if path.name != "config.py"], ids=lambda path: path.name)
def test_nothing_but_the_settings_file_depends_on_the_mode(module: Path) -> None:
    """What is rehearsed is the program that runs on AWS, not another branch of it."""
    assert branches_on_mode(ast.parse(module.read_text())) == []
