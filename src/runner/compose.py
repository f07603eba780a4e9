"""Docker Compose for the SDK's local mode: whether it is there, and the end of all that the SDK started with it.

The SDK starts `docker compose up` in a temporary folder below a root of our choice, and takes down neither what a
killed program left running nor the network; its containers write as root.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

from runner.errors import RunnerError, SettingsError

COMPOSE_FILE = "docker-compose.yaml"  # the SDK's name for it
LOCK = ".lock"
STOP_SECONDS = 2  # between SIGTERM and SIGKILL: nobody waits for what is made then
COMMAND_SECONDS = 120
INSTALL = "install it (Debian: apt-get install docker.io docker-compose procps), or choose another engine"


@dataclass(frozen=True)
class Commands:
    """The two programs, as the first words of their command lines."""

    compose: tuple[str, ...]
    docker: tuple[str, ...] = ("docker",)


def find() -> Commands:
    """Compose is `docker compose` of version 2, else `docker-compose`, as the SDK chooses. Raises SettingsError."""
    for program in ("docker", "pgrep"):  # the second, to stop an endpoint
        if shutil.which(program) is None:
            raise SettingsError(f"engine = 'sdk': the SDK's local mode needs the `{program}` command: {INSTALL}")
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, text=True, check=False)
    if version.returncode == 0 and "v2" in version.stdout:
        return Commands(("docker", "compose"))
    if shutil.which("docker-compose") is not None:
        return Commands(("docker-compose",))
    raise SettingsError(f"engine = 'sdk': the SDK's local mode needs Docker Compose: {INSTALL}")


class NotTakenDown(RunnerError):
    """Containers may still run; the message says which, and how to end them by hand."""


class Projects:
    """What one run started: a folder with a Compose file for each, below a root that is locked while the run lives."""

    def __init__(self, commands: Commands, parent: Path) -> None:
        """Make the root below `parent`; end what runs that were killed left there."""
        self._commands = commands
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(parent / LOCK):  # a root that another run makes is there before its lock is held
            for left in parent.glob("run-*"):
                with _unlocked(left) as free:
                    if free:
                        with suppress(NotTakenDown, OSError):  # the next start tries again
                            self._remove(left)
            self.root = Path(mkdtemp(prefix="run-", dir=parent))
            self._lock = FileLock(self.root / LOCK)
            self._lock.acquire()

    def end(self) -> None:
        """Stop and remove all containers that were started; what they did stays. Raises NotTakenDown."""
        _down(self._commands.compose, self.root)

    def close(self) -> None:
        """Take down all, and remove the root with all that containers wrote. Idempotent.

        Raises NotTakenDown; the root stays then, and a later start tries again.
        """
        try:
            if self.root.exists():
                self._remove(self.root)
        finally:
            self._lock.release()

    def _remove(self, root: Path) -> None:
        image = _down(self._commands.compose, root)
        shutil.rmtree(root, ignore_errors=True)
        if root.exists() and image:
            # Containers wrote as root what this user may not remove: one more of them does.
            inside, delete = "/remove", ("-mindepth", "1", "-delete")
            options = ("--rm", "--network=none", f"--volume={root}:{inside}", "--entrypoint=find")
            _run([*self._commands.docker, "run", *options, image, inside, *delete])
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _unlocked(root: Path) -> Iterator[bool]:
    """Whether nobody holds the root; it is held in the block."""
    lock = FileLock(root / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _down(command: tuple[str, ...], root: Path) -> str:
    """Remove every project's containers; returns the name of an image of theirs, if any. Raises NotTakenDown."""
    image = ""
    for file in root.glob(f"*/{COMPOSE_FILE}"):
        for line in file.read_text(encoding="utf-8").splitlines():
            key, _, value = line.strip().partition(": ")
            image = value if key == "image" else image
        project = [*command, "--file", str(file)]
        down = _run([*project, "down", "--timeout", str(STOP_SECONDS)])
        if down.returncode and not _is_empty(project):
            raise NotTakenDown(
                f"what the SDK's local mode started may still run ({down.stderr.strip() or down.returncode}). "
                f"End it by hand: {shlex.join([*project, 'down'])}"
            )
    return image


def _is_empty(project: Sequence[str]) -> bool:
    """Whether it has no container, running or not."""
    containers = _run([*project, "ps", "--quiet"])
    return containers.returncode == 0 and not containers.stdout.strip()


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it in a process group of its own: a further Ctrl-C at the terminal is for the run, which ends by itself."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            process_group=0,
        )
    except subprocess.TimeoutExpired as error:
        raise NotTakenDown(f"{shlex.join(command)} did not end within {error.timeout:.0f} s") from None
