"""Choosing the engine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from emulator.engine.choice import EngineUnknown, Parts, ask, choose
from emulator.engine.docker_daemon import Daemon, DockerUnavailable
from emulator.images import Catalogue


class FakeEnvironments:
    """Environments that nobody needs here."""

    def built(self, name: str, requirements: Path) -> Path | None:
        """Never asked for."""
        raise NotImplementedError

    def python(self, name: str, requirements: Path) -> Path:
        """No interpreter."""
        raise AssertionError(name)


NOWHERE = "unix:///nonexistent.sock"


def parts(folder: Path) -> Parts:
    """What an engine is made of, where no Docker daemon is."""
    return Parts(Catalogue(folder, ()), FakeEnvironments(), folder, folder, folder, print)


@pytest.mark.parametrize(("name", "reason"), [("auto", "nonexistent.sock is not there"), ("venv", "asked for")])
def test_the_choice_has_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    """Without a Docker daemon both names give the venv engine, and say why."""
    engine, why = choose(name, parts(tmp_path), ask(NOWHERE))
    assert engine.name == "venv"
    assert reason in why


def test_an_unknown_engine_is_an_error(tmp_path: Path) -> None:
    """The error lists what can be chosen."""
    with pytest.raises(EngineUnknown, match=r"'vnv'.*auto, docker, venv"):
        choose("vnv", parts(tmp_path), ask(NOWHERE))


@pytest.mark.parametrize("url", ["unix:///nonexistent.sock", "tcp://127.0.0.1:1", "ssh://elsewhere"])
def test_docker_by_name_needs_a_daemon_of_this_machine(tmp_path: Path, url: str) -> None:
    """Asked for by name it is an error that says why there is none, and what else there is."""
    with pytest.raises(DockerUnavailable, match=r"engine docker: .* engine venv"):
        choose("docker", parts(tmp_path), ask(url))


def test_a_socket_that_nobody_serves_is_no_daemon(tmp_path: Path) -> None:
    """What a daemon left behind costs auto a moment, and is the reason."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        engine, why = choose("auto", parts(tmp_path), ask(f"unix://{path}"))
    assert engine.name == "venv"
    assert "no Docker daemon answers" in why


@pytest.mark.docker
def test_auto_is_docker_where_a_daemon_answers(tmp_path: Path, docker_daemon: Daemon) -> None:
    """And says so."""
    engine, why = choose("auto", parts(tmp_path), ask(""))
    assert engine.name == "docker"
    assert "answers" in why
    assert engine.host_address == docker_daemon.gateway
    engine.close()  # type: ignore[attr-defined]
