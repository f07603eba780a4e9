"""Virtual environments from pinned requirement files: built with uv on first use, and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from emulator.engine.inherited import with_defaults
from emulator.pip_settings import read_pip_settings

_sysconfig = threading.Lock()

PYTHON_VERSION = (3, 11)  # what the images' TensorFlow needs
CLEAR_SECONDS = 5.0  # how long a stop waits for what builds to clear up after itself
LAST_LINES = 12  # of uv's output, in an error


class EnvironmentFailed(Exception):
    """The environment could not be built; the message has uv's own words and says what to do."""


class Environments:
    """The environments below one folder; `report` gets a line for people whenever something takes its time.

    An `overrides.txt` beside a requirement file is uv's: what it says of a package counts more than its dependants.
    """

    def __init__(self, cache_dir: Path, report: Callable[[str], None]) -> None:
        self.cache_dir = cache_dir
        self._report = report
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._building = 0  # how many builds have yet to clear up
        self._cleared = threading.Condition()

    def python(self, name: str, requirements: Path) -> Path:
        """The interpreter of the environment with these requirements; one that is there costs nothing but a look.

        Safe against other threads and processes, and against being killed: what is in the final place is complete.
        Raises EnvironmentFailed.
        """
        folder = self._folder(name, requirements)
        python = folder / "bin" / "python"
        if python.exists():  # follows the link: an environment whose base Python was removed does not count
            return python
        try:
            self.cache_dir.mkdir(parents=True, exist_ok=True)
            with self._locked(name, folder.with_name(f"{folder.name}.lock")):
                if not python.exists():
                    self._build(name, requirements.resolve(), folder)
        except OSError as error:
            raise EnvironmentFailed(f"{name}: no environment can be built in {self.cache_dir}: {error}") from error
        return python

    def built(self, name: str, requirements: Path) -> Path | None:
        """The interpreter of that environment if it is there. Raises EnvironmentFailed."""
        python = self._folder(name, requirements) / "bin" / "python"
        return python if python.exists() else None

    def _folder(self, name: str, requirements: Path) -> Path:
        try:
            content = requirements.read_bytes()
            overrides = _overrides(requirements)
            if overrides is not None:
                content += b"\0" + overrides.read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{name}: its requirements cannot be read: {error}") from error
        return self.cache_dir / f"{name}-{_key(content)}"

    def stop(self) -> None:
        """End what is being built; `python` then raises EnvironmentFailed, in whichever thread it was called.

        Returns when what was built is removed, after CLEAR_SECONDS at the latest: the process may end right after it.
        """
        self._stopped = True
        for process in list(self._running):
            _kill(process)
        with self._cleared:
            self._cleared.wait_for(lambda: not self._building, CLEAR_SECONDS)

    @contextmanager
    def _removed_afterwards(self, folder: Path) -> Iterator[None]:
        with self._cleared:
            self._building += 1
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._cleared:
                self._building -= 1
                self._cleared.notify_all()

    def _locked(self, name: str, path: Path) -> AbstractContextManager[FileLock]:
        lock = FileLock(path)
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            self._report(f"{name}: somebody else is building its environment; waiting for that")
            return lock.acquire()

    def _build(self, name: str, requirements: Path, folder: Path) -> None:
        # A name of its own: uv may still be at work for an emulator that was killed.
        unfinished = folder.with_name(f"{folder.name}.unfinished-{secrets.token_hex(4)}")
        packages = sum(line[:1].isalnum() for line in requirements.read_text("utf-8").splitlines())
        self._report(
            f"{name}: building its Python environment in {self.cache_dir} "
            f"(once: {packages} pinned packages, downloaded where uv has not cached them)"
        )
        started = time.monotonic()
        with self._removed_afterwards(unfinished):
            for leftover in self.cache_dir.glob(f"{folder.name}.unfinished-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if folder.exists():  # its Python is gone
                shutil.rmtree(folder)
            temporary, made = unfinished / "tmp", unfinished / "environment"
            temporary.mkdir(parents=True)
            variables = with_defaults({**system_certificates(), **read_pip_settings(_base_python())})
            variables["TMPDIR"] = str(temporary)  # what a killed uv leaves there goes with the rest
            # Relocatable, because it is renamed when it is complete.
            self._uv(name, variables, "venv", "--relocatable", "--python", _base_python(), str(made))
            overrides = _overrides(requirements)
            self._uv(
                name,
                variables,
                *("pip", "install", "--compile-bytecode"),
                *("--python", str(made / "bin" / "python"), "--requirements", str(requirements)),
                *(("--overrides", str(overrides)) if overrides else ()),
            )
            made.rename(folder)
        size = sum(file.lstat().st_size for file in folder.rglob("*"))
        self._report(f"{name}: environment ready after {time.monotonic() - started:.0f} s ({size / 1e6:.0f} MB)")

    def _uv(self, name: str, variables: dict[str, str], *arguments: str) -> None:
        with subprocess.Popen(
            [uv_program(), "--no-progress", "--no-python-downloads", *arguments],
            env=variables,
            cwd=self.cache_dir,  # not the user's folder, whose uv.toml is about something else
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,  # its compilers are to end with it
        ) as process:
            self._running.add(process)
            try:
                if self._stopped:
                    _kill(process)
                said = process.communicate()[1]
            except BaseException:
                _kill(process)
                raise
            finally:
                self._running.discard(process)
        if self._stopped:
            raise EnvironmentFailed(f"{name}: the building of its environment was stopped")
        if process.returncode:
            output = "\n".join(said.strip().splitlines()[-LAST_LINES:])
            raise EnvironmentFailed(
                f"{name}: its environment could not be built; uv {arguments[0]} said:\n{output}\n{_advice(said)}"
            )


def _overrides(requirements: Path) -> Path | None:
    path = requirements.resolve().with_name("overrides.txt")
    return path if path.exists() else None


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def uv_program() -> str:
    """The uv that is installed with us."""
    import uv

    # It asks sysconfig, which hands a second thread half of its variables while a first one is still reading them.
    with _sysconfig:
        return str(uv.find_uv_bin())


def _key(content: bytes) -> str:
    """Changes with anything that would make another environment of the same name."""
    parts = (content, sys.version.encode(), _base_python().encode(), sysconfig.get_platform().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _base_python() -> str:
    """The interpreter below this one's own environment when its version will do, else a version for uv to look for."""
    wanted = ".".join(map(str, PYTHON_VERSION))
    base = Path(sys.base_prefix) / "bin" / f"python{wanted}"
    return str(base) if sys.version_info[:2] == PYTHON_VERSION and base.exists() else wanted


def system_certificates() -> dict[str, str]:
    """The system's root certificates where there are any: those that uv brings do not know a company's TLS proxy."""
    paths = ssl.get_default_verify_paths()
    folders = [Path(folder) for folder in (paths.capath, "/etc/ssl/certs", "/etc/pki/tls/certs") if folder]
    found = paths.cafile or any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
    return {"UV_SYSTEM_CERTS": "1"} if found else {}


def _advice(output: str) -> str:
    if "No space left" in output or "os error 28" in output:
        return "Free some space, or set XDG_CACHE_HOME (and UV_CACHE_DIR) to where there is more, and try again."
    if any(sign in output for sign in ("error sending request", "dns error", "Failed to fetch", "timed out")):
        return (
            "The package index is needed once, for the first start. Check the network, the proxy variables, and the "
            "index in pip's configuration (index-url) or in UV_DEFAULT_INDEX."
        )
    return "The pinned packages must be on the configured index, for Python 3.11 and this platform."
