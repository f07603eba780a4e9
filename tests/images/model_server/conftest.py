"""Servers as processes of their own, and the SavedModels they serve."""

import http.client
import json
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
LOCAL = HERE.parents[2] / "local"
settings.register_profile("images", deadline=None)  # a busy machine is no failure
settings.load_profile("images")

DEADLINE = 120.0  # seconds; TensorFlow's import on a busy machine


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, with NaN and Infinity as Python reads them."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error answer, which has no other key."""
        assert list(self.json) == ["error"]
        return str(self.json["error"])


class ServerProcess:
    """A running server; its output is collected line by line."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env={
                "PYTHONPATH": str(LOCAL),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": self._temporary.name,  # what is killed leaves its temporary files there
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, text: str) -> str:
        """The next line that contains the text; fails when the output ends, or after DEADLINE seconds."""
        deadline = time.monotonic() + DEADLINE
        while True:
            line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"{text!r} never came:\n" + "\n".join(self.lines)
            self.lines.append(line)
            if text in line:
                return line

    def wait_until_listening(self) -> "ServerProcess":
        """Find out the port."""
        match = re.search(r"http://127\.0\.0\.1:(\d+)$", self.wait_for("Listening on"))
        assert match is not None
        self.port = int(match[1])
        return self

    def write(self, line: str) -> None:
        """A line for the process's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body.encode() if isinstance(body, str) else body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def invoke(
        self,
        body: Any,
        content_type: str = "application/json",
        attributes: str | None = None,
        accept: str | None = None,
    ) -> Reply:
        """POST /invocations; what is neither text nor bytes is sent as JSON."""
        headers = {"Content-Type": content_type}
        if attributes is not None:
            headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        if accept is not None:
            headers["Accept"] = accept
        return self.request(
            "POST", "/invocations", body if isinstance(body, bytes | str) else json.dumps(body), headers
        )

    def end(self) -> tuple[int, str]:
        """Wait for the process to end by itself: exit status and all of its output."""
        status = self.process.wait(timeout=DEADLINE)
        self._reader.join(DEADLINE)
        while (line := self._queue.get()) is not None:
            self.lines.append(line)
        return status, "\n".join(self.lines)

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue
        self._temporary.cleanup()


Start = Callable[..., ServerProcess]


def _start_servers() -> Iterator[Start]:
    servers: list[ServerProcess] = []

    def start_one(command: list[str], **environment: str) -> ServerProcess:
        servers.append(ServerProcess(command, environment))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    yield from _start_servers()


@pytest.fixture(scope="module")
def start_module() -> Iterator[Start]:
    """Start servers that end with the tests of the module."""
    yield from _start_servers()


@pytest.fixture
def blocking_server(start: Start, tmp_path: Path) -> ServerProcess:
    """A server whose model loads, and answers, a line of stdin at a time."""
    return start([str(HERE / "blocking_server.py"), str(tmp_path)]).wait_until_listening()


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `several/` (half_plus in two versions, kinds, old) and `single/` (1/saved_model.pb)."""
    folder = tmp_path_factory.mktemp("saved_models")
    subprocess.run([sys.executable, str(HERE / "build_models.py"), str(folder)], check=True, timeout=DEADLINE)
    return folder


def _serve(base: Path, models: Path, **environment: str) -> Iterator[ServerProcess]:
    (base / "model").symlink_to(models, target_is_directory=True)
    server = ServerProcess(
        ["-m", "model_server"], {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": "0", **environment}
    )
    try:
        server.wait_until_listening().wait_for("Ready")
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def several(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of two models, one of them in two versions; the default is half_plus."""
    yield from _serve(tmp_path_factory.mktemp("several"), saved_models / "several")


@pytest.fixture(scope="session")
def single(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the one model that a training job leaves in SM_MODEL_DIR/1."""
    yield from _serve(tmp_path_factory.mktemp("single"), saved_models / "single", SAGEMAKER_GUNICORN_WORKERS="2")
