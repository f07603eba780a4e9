"""Chooses the engine, and says why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.engine.docker_daemon import Daemon, DockerUnavailable, connect
from emulator.engine.port import Engine
from emulator.engine.processes import Processes
from emulator.engine.venv import PythonEnvironments, VenvEngine
from emulator.images import Catalogue

if TYPE_CHECKING:
    from emulator.engine.docker import DockerEngine

CHOICES = ("auto", "docker", "venv")


class EngineUnknown(Exception):
    """There is no engine of that name; the message lists those that there are."""


@dataclass(frozen=True)
class Parts:
    """What engines are made of."""

    catalogue: Catalogue
    environments: PythonEnvironments
    processes_dir: Path
    source_root: Path
    cache_dir: Path
    report: Callable[[str], None]
    limits: bool = False  # hold containers to what their instance types have (docker)


def ask(docker_url: str = "") -> Daemon | DockerUnavailable:
    """The daemon, or why there is none: for `choose` and `end_leftovers`, so that a start asks only once."""
    try:
        return connect(docker_url)
    except DockerUnavailable as error:
        return error


def choose(name: str, parts: Parts, docker: Daemon | DockerUnavailable) -> tuple[Engine, str]:
    """The engine, and the reason for people to read; `docker` is what `ask` has given, which a Docker engine keeps.

    Raises EngineUnknown, DockerUnavailable when docker is named.
    """
    if name not in CHOICES:
        raise EngineUnknown(f"There is no engine {name!r}. Choose one of: {', '.join(CHOICES)}.")
    if name == "venv":
        return _venv(parts), "it was asked for"
    if isinstance(docker, DockerUnavailable):
        if name == "docker":
            raise DockerUnavailable(f"engine docker: {docker}. Start Docker, or use the engine venv.") from docker
        return _venv(parts), f"auto: {docker}"
    engine = docker_engine(docker, parts)
    why = "it was asked for" if name == "docker" else f"auto: {docker.description}"
    missing = engine.missing_images()
    if missing:
        why += f"; not built yet, which takes minutes when they are first needed: {', '.join(missing)}"
        why += "" if name == "docker" else "; the quick way, without Docker: --engine venv, or REHEARSAL_ENGINE=venv"
    return engine, why


def end_leftovers(processes_dir: Path, docker: Daemon | DockerUnavailable) -> list[str]:
    """End what emulators that were killed left running, in whichever engine; the names of the works that still ran.

    What a daemon that makes trouble keeps is left for the next time. Raises ProcessesLeft, OSError.
    """
    ended = Processes(processes_dir).remove_leftovers()
    if isinstance(docker, DockerUnavailable):
        return ended  # there is nothing to see
    from emulator.engine import docker_leftovers
    from emulator.engine.docker_errors import ERRORS

    with suppress(*ERRORS):
        ended += docker_leftovers.remove(docker.client)
    return sorted(ended)


def docker_engine(daemon: Daemon, parts: Parts) -> DockerEngine:
    """The Docker engine on this daemon."""
    from emulator.engine.docker import DockerEngine  # only now: the SDK takes a quarter of a second to import
    from emulator.engine.docker_images import Images

    images = Images(daemon.client, parts.catalogue, parts.source_root, parts.cache_dir, parts.report)
    return DockerEngine(daemon, images, limits=parts.limits)


def _venv(parts: Parts) -> VenvEngine:
    return VenvEngine(parts.catalogue, parts.environments, parts.processes_dir, parts.source_root)
