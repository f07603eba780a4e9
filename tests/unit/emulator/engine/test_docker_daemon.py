"""A Docker daemon that is no use, or dies: what is said of it. It is played here, on a socket of the test's own."""

from __future__ import annotations

import gc
import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import docker
import pytest

from emulator.engine.docker_container import DockerContainer
from emulator.engine.docker_daemon import DockerUnavailable, connect
from emulator.engine.port import EngineLost, Event, Line, Started

# Where nobody answers, the SDK for Python forgets to close its socket (seen with 7.1).
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

ANSWERS = {
    "/version": {"ApiVersion": "1.41"},
    "/info": {"NCPU": 2, "ServerVersion": "20.10"},
    "/networks/bridge": {"IPAM": {"Config": [{"Subnet": "127.0.0.0/8", "Gateway": "127.0.0.1"}]}},
    "/containers/abc/json": {"Id": "abc", "State": {"Status": "running"}, "Config": {"Labels": {}}},
}


@pytest.fixture(autouse=True)
def _sockets_of_the_sdk() -> Iterator[None]:
    """Sockets that are open still are collected here, so that no other test is warned of them."""
    yield
    gc.collect()


class FakeDaemon:
    """Answers a few questions about itself until it is ended."""

    def __init__(self, path: Path, answers: Mapping[str, Any]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0].removeprefix("/v1.41")
                self.send_response(200 if path in answers else 404 if answers else 500)
                self.end_headers()
                self.wfile.write(json.dumps(answers.get(path, {"message": "out of order"})).encode())

            def address_string(self) -> str:
                return "somebody"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.url = f"unix://{path}"
        self._path = path
        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def end(self) -> None:
        """Answer no more. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._path.unlink()


@pytest.fixture
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeDaemon]:
    """A daemon with these answers."""
    daemon = FakeDaemon(tmp_path / "docker.sock", getattr(request, "param", ANSWERS))
    yield daemon
    daemon.end()


class FakeOutput:
    """What a container wrote until its daemon ended."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        """One line."""
        yield b"one\n"

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_a_daemon_that_answers_can_be_used(daemon: FakeDaemon) -> None:
    """Its bridge's gateway is where this machine is found."""
    found = connect(daemon.url)
    assert (found.gateway, found.processors) == ("127.0.0.1", 2)
    found.client.close()


ELSEWHERE = {"IPAM": {"Config": [{"Subnet": "203.0.113.0/24"}]}}


@pytest.mark.parametrize(
    ("daemon", "reason"),
    [
        ({}, "no Docker daemon answers at .*docker.sock .*out of order"),
        ({**ANSWERS, "/networks/bridge": ELSEWHERE}, r"cannot reach this machine .*203\.0\.113\.1.* rootless"),
        ({**ANSWERS, "/networks/bridge": {"IPAM": {"Config": None}}}, "cannot reach this machine .*none"),
        (
            {path: answer for path, answer in ANSWERS.items() if "bridge" not in path},
            "cannot reach this machine .*none",
        ),
    ],
    indirect=["daemon"],
)
def test_a_daemon_of_no_use_is_told_apart(daemon: FakeDaemon, reason: str) -> None:
    """One in trouble, and those whose containers live elsewhere: rootless Docker, Docker Desktop."""
    with pytest.raises(DockerUnavailable, match=reason):
        connect(daemon.url)


def test_a_daemon_that_dies_loses_its_containers(daemon: FakeDaemon, tmp_path: Path) -> None:
    """What was written is read; then every question about the container has one clear answer, and it is given up.

    Once a daemon is there again, it is asked again.
    """
    client = docker.DockerClient(base_url=daemon.url)
    output = FakeOutput()
    removals: list[str] = []
    container = DockerContainer(client.containers.get("abc"), output, "", lambda: removals.append("abc"))  # type: ignore[arg-type]
    assert container.alive()
    daemon.end()
    seen: list[Event] = []
    with pytest.raises(EngineLost, match="The Docker daemon does not answer"):
        seen.extend(container.events())
    assert seen == [Started(), Line("one")]
    assert output.closed
    assert removals
    for ask in (container.alive, lambda: container.stop(1)):
        with pytest.raises(EngineLost):
            ask()
    again = FakeDaemon(tmp_path / "docker.sock", ANSWERS)
    assert container.alive()
    client.close()
    again.end()
