"""Docker Compose is found as the SDK finds it, and what it runs ends with the run that started it, or with the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import compose
from runner.compose import Commands, NotTakenDown, Projects
from runner.errors import SettingsError

# What the SDK writes: https://docs.docker.com/reference/compose-file/
PROJECT = "services:\n  algo-1-abcde:\n    command: train\n    image: an-image:1\nversion: '2.3'\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(programs: Path, name: str, *lines: str) -> None:
    """Put a shell script there."""
    (programs / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (programs / name).chmod(0o755)


def test_version_2_is_a_plugin_of_docker(programs: Path) -> None:
    """It comes before the old program."""
    install(programs, "pgrep")
    install(programs, "docker", "echo Docker Compose version v2.40.3")
    install(programs, "docker-compose")
    assert compose.find().compose == ("docker", "compose")


@pytest.mark.parametrize("docker", [["exit 1"], ["echo Docker Compose version v5.0.1"]])
def test_else_it_is_the_program_of_that_name(programs: Path, docker: list[str]) -> None:
    """Without the plugin, or with one of a version that the SDK does not know."""
    install(programs, "pgrep")
    install(programs, "docker", *docker)
    install(programs, "docker-compose")
    assert compose.find().compose == ("docker-compose",)


@pytest.mark.parametrize(
    ("installed", "missing"),
    [([], "the `docker` command"), (["docker"], "the `pgrep` command"), (["docker", "pgrep"], "Docker Compose")],
)
def test_what_is_missing_is_named_with_its_fix(programs: Path, installed: list[str], missing: str) -> None:
    """Before anything is started."""
    for name in installed:
        install(programs, name, "exit 1")
    with pytest.raises(SettingsError, match=rf"engine = 'sdk'.*needs {missing}.*apt-get install docker.io"):
        compose.find()


class FakeCompose:
    """A command that notes how it was called, then does what `then` says ($3 is `down` or `ps`)."""

    def __init__(self, folder: Path, then: str = "", docker: str = "") -> None:
        self._calls = folder / "calls"
        program = ("/bin/sh", "-c", f'echo "$@" >> {self._calls}\n{then}', "compose")
        self.command = Commands(program, ("/bin/sh", "-c", docker, "docker"))

    @property
    def calls(self) -> list[str]:
        """Its arguments, a line a call."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []


def started(projects: Projects, name: str) -> Path:
    """A project below the root, as the SDK leaves it."""
    file = projects.root / name / "docker-compose.yaml"
    file.parent.mkdir()
    file.write_text(PROJECT)
    return file


def test_all_that_was_started_is_taken_down(tmp_path: Path) -> None:
    """Each project by its own file; the folders stay until the end."""
    fake = FakeCompose(tmp_path)
    projects = Projects(fake.command, tmp_path / "local-mode")
    files = [started(projects, name) for name in ("training", "serving")]
    projects.end()
    assert sorted(fake.calls) == sorted(f"--file {file} down --timeout 2" for file in files)
    assert projects.root.exists()
    projects.close()
    projects.close()
    assert not projects.root.exists()


def test_what_a_killed_run_left_is_ended_and_what_lives_is_left_alone(tmp_path: Path) -> None:
    """A run that is killed loses its lock; one that lives keeps it."""
    fake = FakeCompose(tmp_path)
    killed, living = (Projects(fake.command, tmp_path / "local-mode") for _ in range(2))
    left = started(killed, "training")
    started(living, "serving")
    killed._lock.release()  # as the kernel does
    Projects(fake.command, tmp_path / "local-mode").close()
    assert fake.calls == [f"--file {left} down --timeout 2"]
    assert (killed.root.exists(), living.root.exists()) == (False, True)
    living.close()


@pytest.mark.parametrize(
    "then", ["test $3 = ps && echo 0123abcd; exit 1", "exit 1", "test $3 = ps || kill -9 $$; echo 0123abcd"]
)
def test_what_may_still_run_is_not_forgotten(tmp_path: Path, then: str) -> None:
    """Compose fails, and there are containers, or nobody can say: the file stays for the next start to try again."""
    failing, projects = FakeCompose(tmp_path, then), []
    projects.append(Projects(failing.command, tmp_path / "local-mode"))
    file = started(projects[0], "training")
    with pytest.raises(NotTakenDown, match=rf"by hand: (?s:.*){file} down"):
        projects[0].close()
    assert file.exists()
    projects.append(Projects(failing.command, tmp_path / "local-mode"))  # which fails again, and is no less a start
    assert file.exists()
    projects.append(Projects(FakeCompose(tmp_path).command, tmp_path / "local-mode"))
    assert not file.exists()
    for each in projects[1:]:
        each.close()
