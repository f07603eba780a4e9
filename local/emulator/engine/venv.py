"""The engine that needs no Docker: a container is a program in a virtual environment, in a session of its own."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from emulator.engine import own_pip
from emulator.engine.inherited import inherited
from emulator.engine.lines import Lines
from emulator.engine.loopback import LoopbackNetwork
from emulator.engine.opt_ml_place import OptMl
from emulator.engine.port import Event, Exited, ImageNotFound, Line, Started, StartFailed, Work
from emulator.engine.ports import free_port
from emulator.engine.processes import Processes, Program
from emulator.engine.standby import Spares, suits
from emulator.environments import EnvironmentFailed, system_certificates, uv_program
from emulator.images import Catalogue, ImageDefinition

# What a program that ended left in its pipe is there at once; only a process that escaped its end keeps it open.
DRAIN_SECONDS = 2.0
POLL_SECONDS = 0.1
CHUNK_BYTES = 65536
UMASK = 0o022  # a container's, whatever ours is: the rights of a model's files go with its archive
_OURS = ("SAGEMAKER_BASE_DIR", "SAGEMAKER_BIND_TO_PORT")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# Finds the program by the PATH of its own environment; ends with 127, and a line that says so, when it is not there, as
# in a container. What is run is never read by this shell.
NO_SHELL = ("/bin/sh", "-c", 'exec "$@"', "sh")


class PythonEnvironments(Protocol):
    """What is needed of `environments.Environments`."""

    def python(self, name: str, requirements: Path) -> Path:
        """The interpreter of the environment with these requirements. Raises EnvironmentFailed."""

    def built(self, name: str, requirements: Path) -> Path | None:
        """The same if it is there. Raises EnvironmentFailed."""


class VenvContainer:
    """A program with the tree of a container below its SAGEMAKER_BASE_DIR."""

    def __init__(self, program: Program, address: str, base_dir: Path) -> None:
        self._program = program
        self._address = address
        self._base_dir = base_dir

    @property
    def address(self) -> str:
        """Where `serve` answers, as "host:port"; empty for `train`."""
        return self._address

    @property
    def base_dir(self) -> str:
        """The tree itself, as SAGEMAKER_BASE_DIR names it."""
        return str(self._base_dir)

    def events(self) -> Iterator[Event]:
        """Started, then lines, then Exited: blocks until each happens. To be read once, by one thread."""
        yield Started()
        lines = Lines()
        for chunk in self._output():
            for text in lines.feed(chunk):
                yield Line(text)
        for text in lines.end():
            yield Line(text)
        # As in a container, where the end of the first process is the end of all.
        self._program.end(0)
        code = self._program.popen.wait()
        yield Exited(code if code >= 0 else 128 - code)

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._program.popen.poll() is None

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to all of its processes, SIGKILL after `grace_seconds`; returns when none is left. Idempotent."""
        self._program.end(grace_seconds)

    def _output(self) -> Iterator[bytes]:
        """What it writes, until nobody can write any more."""
        pipe = self._program.popen.stdout
        assert pipe is not None  # noqa: S101 - it was started with one
        deadline = float("inf")
        with pipe, selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if selector.select(POLL_SECONDS):
                    chunk = os.read(pipe.fileno(), CHUNK_BYTES)
                    if not chunk:
                        return
                    yield chunk
                elif deadline == float("inf") and not self.alive():
                    # Something that it started holds the pipe: end that, and take what it had written.
                    self._program.end(0)
                    deadline = time.monotonic() + DRAIN_SECONDS


class VenvEngine:
    """Runs images as programs in virtual environments made from their requirements."""

    def __init__(
        self, catalogue: Catalogue, environments: PythonEnvironments, processes_dir: Path, source_root: Path
    ) -> None:
        """`source_root` is the repository: an image's `python_path` is relative to it."""
        self._catalogue = catalogue
        self._environments = environments
        self._processes = Processes(processes_dir)
        self._source_root = source_root
        self._spares = Spares()
        self._places = OptMl(processes_dir)

    @property
    def name(self) -> str:
        """The engine's name for people and for `--engine`."""
        return "venv"

    @property
    def host_address(self) -> str:
        """Loopback: its containers are programs of this machine."""
        return "127.0.0.1"

    @property
    def network_interface(self) -> str:
        """Loopback's: its hosts are addresses of that."""
        return "lo"

    def prepare(self, image: str) -> None:
        """Build the image's environment unless it is there. Raises ImageNotFound."""
        self._image(image)

    def build_all(self) -> None:
        """Build the environments that are not there. Raises ImageNotFound."""
        for definition in self._catalogue.images:
            try:
                self._environments.python(definition.name, definition.requirements)
            except EnvironmentFailed as error:
                raise ImageNotFound(f"The image {definition.repository} could not be made ready. {error}") from error

    def warm_up(self) -> None:
        """Start a server of each image that can wait for its endpoint, where a processor is free for it."""
        if (os.cpu_count() or 1) > 1:
            for definition in self._catalogue.images:
                with suppress(EnvironmentFailed):  # whoever asks for an endpoint will be told
                    python = self._environments.built(definition.name, definition.requirements)
                    if definition.standby and python is not None:
                        self._spares.begin(_kind(definition, python), partial(self._start_spare, definition, python))

    def connect(self, name: str, hosts: Sequence[str]) -> LoopbackNetwork:
        """Give each host an address of loopback and a free port; there are no names here to resolve."""
        try:
            return LoopbackNetwork.of(hosts)
        except OSError as error:
            raise StartFailed(f"{name}: no free port of loopback for each of {len(hosts)} hosts: {error}") from error

    def start(self, work: Work) -> VenvContainer:
        """Start it. Raises ImageNotFound or StartFailed."""
        definition, python = self._image(work.image)
        arguments = self._command(work, definition, python)
        port = free_port() if work.command == "serve" else 0
        environment = self._environment(work, definition, python, port)
        try:
            if work.entrypoint or work.arguments:
                environment |= own_pip.provide(work.base_dir, environment)
            environment = _joined(environment, work.environment)
            for folder in ("home", "tmp"):  # not what the request may call so: that is for the program to make
                (work.base_dir / folder).mkdir(parents=True, exist_ok=True)
            program = None
            if port and suits(work.environment):
                program = self._spares.take(_kind(definition, python), work.name, environment, work.base_dir)
            if program is None:
                program = self._processes.start(
                    work.name, arguments, environment=environment, folder=work.base_dir, umask=UMASK
                )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument or variable
            raise StartFailed(f"{work.name}: {arguments[0]} could not be started: {error}") from error
        return VenvContainer(program, f"127.0.0.1:{port}" if port else "", work.base_dir)

    def stop(self) -> None:
        """End the servers that wait. Environments are given up by whoever made them."""
        self._spares.close()

    def _command(self, work: Work, definition: ImageDefinition, python: Path) -> list[str]:
        """What is run: the work's own command line, or that of the catalogue. Raises StartFailed."""
        arguments: list[str]
        if work.entrypoint or work.arguments:
            # The image's requirements say nothing of an entry point, so it has none, as those of the catalogue.
            arguments = [*NO_SHELL, *work.arguments_after(())]
        elif work.command in definition.commands:
            arguments = _arguments(definition.commands[work.command], python)
            if not shutil.which(arguments[0]):  # what runs it would start all the same
                raise StartFailed(f"{work.name}: {arguments[0]} could not be started: there is no such program")
        else:
            raise StartFailed(
                f"The image {work.image!r} has no {work.command!r} command: add one to {self._catalogue.path}."
            )
        return self._places.command(arguments, work.base_dir) if work.command == "train" else arguments

    def _start_spare(self, definition: ImageDefinition, python: Path) -> Program:
        name = f"standby/{definition.name}"
        # Its folder is anybody's until it is told its own; what it imports is found by the same path.
        work = Work(name, definition.repository, "serve", self._processes.folder)
        return self._processes.start(
            name,
            _arguments(definition.standby, python),
            environment=self._environment(work, definition, python, 0),
            folder=self._processes.folder,
            stdin=subprocess.PIPE,
            umask=UMASK,
        )

    def _environment(self, work: Work, definition: ImageDefinition, python: Path, port: int) -> dict[str, str]:
        """What a program sees, but for the work's own variables."""
        python_path = self._source_root / definition.python_path
        return {**inherited(), **_own_environment(work, python, python_path, port)}

    def _image(self, image: str) -> tuple[ImageDefinition, Path]:
        definition = self._catalogue.find(image)
        try:
            return definition, self._environments.python(definition.name, definition.requirements)
        except EnvironmentFailed as error:
            raise ImageNotFound(f"The image {image!r} could not be made ready. {error}") from error


def _kind(definition: ImageDefinition, python: Path) -> tuple[str, ...]:
    return (str(python), definition.python_path, *definition.standby)


def _arguments(command: Sequence[str], python: Path) -> list[str]:
    return [str(python) if part == "python" else part for part in command]


def _joined(own: Mapping[str, str], requested: Mapping[str, str]) -> dict[str, str]:
    """The request's variables on top of ours, but for those that say where the tree, the port and the program are."""
    joined = {**own, **requested}
    joined |= {name: own[name] for name in _OURS if name in own}
    paths = [own["PYTHONPATH"], requested.get("PYTHONPATH", "")]
    return {**joined, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _own_environment(work: Work, python: Path, python_path: Path, port: int) -> Mapping[str, str]:
    """What the engine itself sets; the work's environment goes on top."""
    own = {
        "SAGEMAKER_BASE_DIR": str(work.base_dir),
        "PYTHONPATH": str(python_path),
        "PYTHONUNBUFFERED": "1",  # lines as they are written, and none lost to a kill
        "PYTHONIOENCODING": "UTF-8",
        "VIRTUAL_ENV": str(python.parent.parent),
        "PATH": os.pathsep.join([str(python.parent), inherited().get("PATH", DEFAULT_PATH)]),
        # For what a script's own requirements.txt asks for: these environments have no pip.
        "UV": uv_program(),
        **system_certificates(),
        "HOME": str(work.base_dir / "home"),
        "TMPDIR": str(work.base_dir / "tmp"),
    }
    if port:
        own["SAGEMAKER_BIND_TO_PORT"] = str(port)
    if isinstance(work.network, LoopbackNetwork):
        own |= work.network.environment()
    return own
