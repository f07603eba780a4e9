"""LocalStack as a child program: the S3, STS, IAM, KMS and CloudWatch Logs of the emulator, on a port of loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from botocore.config import Config
from localstack_client.session import Session

from emulator.engine.inherited import inherited
from emulator.engine.ports import free_port
from emulator.engine.processes import Processes, Program
from emulator.engine.venv import PythonEnvironments

SERVICES = ("s3", "sts", "iam", "kms", "logs")
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
LAST_LINES = 15  # of its log, in an error
LONGEST_LOG = 10_000_000  # bytes


class LocalStackFailed(Exception):
    """LocalStack could not be started; the message has the end of its log."""


class LocalStack:
    """One LocalStack. Everything it writes is below `data_dir`, and gone with `stop`, except its log there."""

    def __init__(
        self, environments: PythonEnvironments, requirements: Path, data_dir: Path, processes_dir: Path
    ) -> None:
        """`requirements` are its frozen packages; the program that starts it, serve.py, is beside them."""
        self._environments = environments
        self._requirements = requirements
        # A folder a start: one that is just ending, because its emulator was killed, removes its own.
        self._folders = data_dir / "localstack"
        self._folder = self._folders
        self._processes = Processes(processes_dir)
        self._program: Program | None = None
        self._port = 0
        self._interrupted = threading.Event()
        self.log = data_dir / "localstack.log"

    @property
    def base_url(self) -> str:
        """Where it answers once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> str:
        """Start it and return its base URL when it is ready. Raises LocalStackFailed, EnvironmentFailed."""
        return self._start(free_port())

    def interrupt(self) -> None:
        """Let a start that goes on fail soon. From any thread."""
        self._interrupted.set()

    def restart(self) -> str:
        """Start it again, empty, on the port that it had. Raises what `start` raises."""
        self.stop()
        return self._start(self._port)

    def _start(self, port: int) -> str:
        python = self._environments.python("localstack", self._requirements)
        self._clear()
        self._folder = self._folders / secrets.token_hex(4)
        for name in ("home", "tmp"):
            (self._folder / name).mkdir(parents=True)
        self._port = port
        self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log:  # appends, so that it can be cut while it is written to
            self._program = self._processes.start(
                "localstack",
                [str(python), str(self._requirements.with_name("serve.py")), str(self._folder)],
                environment={**inherited(), **self._settings()},
                folder=self._folder,
                stdin=subprocess.PIPE,  # kept open as long as we live: it ends when that does
                stdout=log.fileno(),
            )
        self._wait_until_ready()
        return self.base_url

    def alive(self) -> bool:
        """Whether it answers."""
        return self._program is not None and self._program.popen.poll() is None and self._healthy()

    def ended(self) -> bool:
        """Whether it was started and has ended by itself."""
        program = self._program
        return program is not None and program.popen.poll() is not None

    def check(self) -> None:
        """Raise LocalStackFailed when it was started and has ended by itself; keeps its log short. Costs nothing."""
        code = self._program.popen.poll() if self._program else None
        if code is not None:
            raise LocalStackFailed(f"LocalStack ended by itself, with code {code}; its log: {self.log}")
        with suppress(OSError):  # somebody has removed it
            if self.log.stat().st_size > LONGEST_LOG:
                os.truncate(self.log, 0)

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client that talks to it directly."""
        config = Config(proxies={}).merge(options.pop("config", None) or Config())
        return _Session(self.base_url).client(service, config=config, **options)

    def stop(self) -> None:
        """End it at once: it keeps nothing that an orderly end, which takes a second, would save. Idempotent."""
        if self._program is None:
            return
        self._program.end(0)
        if self._program.popen.stdin:
            self._program.popen.stdin.close()
        self._program = None
        self._clear()

    def _settings(self) -> dict[str, str]:
        """What keeps it to loopback, to its folder, and off the internet (LocalStack 4.9.2)."""
        return {
            "SERVICES": ",".join(SERVICES),
            "GATEWAY_LISTEN": f"127.0.0.1:{self._port}",
            "LOCALSTACK_HOST": f"127.0.0.1:{self._port}",
            "FILESYSTEM_ROOT": str(self._folder / "root"),  # else /var/lib/localstack
            "OVERRIDE_IN_DOCKER": "0",  # it believes to be in Docker in any container
            "DNS_ADDRESS": "0",  # no DNS server
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",  # no telemetry
            "CONFIG_DIR": str(self._folder / "home"),  # else ~/.localstack, whose settings would count
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "LS_LOG": "warning",  # not a line a request
            "PYTHONUNBUFFERED": "1",
        }

    def _wait_until_ready(self) -> None:
        assert self._program is not None  # noqa: S101 - it was started just now
        deadline = time.monotonic() + READY_SECONDS
        while not self._healthy():
            code = self._program.popen.poll()
            if self._interrupted.is_set():
                self.stop()
                raise LocalStackFailed("LocalStack was stopped before it was ready")
            if code is not None or time.monotonic() > deadline:
                self.stop()
                how = f"was not ready after {READY_SECONDS:.0f} s" if code is None else f"ended with code {code}"
                lines = self.log.read_text("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
                raise LocalStackFailed("\n".join([f"LocalStack {how}. The end of its log, {self.log}:", *lines]))
            self._interrupted.wait(POLL_SECONDS)

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/_localstack/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _clear(self) -> None:
        shutil.rmtree(self._folders, ignore_errors=True)


class _Session(Session):  # type: ignore[misc]  # not typed
    """The session of localstack-client, but for its rule that AWS_ENDPOINT_URL wins: that may well be the emulator."""

    _service_endpoint_mapping: dict[str, str]

    def __init__(self, base_url: str) -> None:
        super().__init__(localstack_host=base_url.removeprefix("http://"))
        self._service_endpoint_mapping = dict.fromkeys(self._service_endpoint_mapping, base_url)
