from __future__ import annotations

import gzip
import http.server
import socket
from collections.abc import Callable, Iterator

import pytest

from emulator.lifecycle.health import Call, ContainerClient, NoAnswer


class FakeContainerServer(http.server.BaseHTTPRequestHandler):
    """Healthy; its answers are compressed, and redirect elsewhere when asked to."""

    def do_GET(self) -> None:
        """/ping."""
        self.send_response(200 if self.path == "/ping" else 404)
        self.end_headers()

    def do_POST(self) -> None:
        """/invocations."""
        body = gzip.compress(b"answer")
        self.send_response(302 if self.headers["Accept"] == "redirect" else 200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(serve: Callable[[type[http.server.BaseHTTPRequestHandler]], str]) -> str:
    """Where a FakeContainerServer answers."""
    return serve(FakeContainerServer)


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are taken, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_container_is_healthy_when_ping_answers_200(address: str) -> None:
    """Nobody there is not healthy, and no error."""
    client = ContainerClient()
    assert client.ping(address)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    assert not client.ping(nobody)


def test_an_answer_is_passed_on_as_it_is(address: str) -> None:
    """Not decompressed, and no redirect is followed."""
    client = ContainerClient()
    answer = client.invoke(address, Call(b"x", {"Accept": "a/b"}))
    assert gzip.decompress(answer.body) == b"answer"
    assert answer.headers["content-encoding"] == "gzip"
    assert client.invoke(address, Call(b"x", {"Accept": "redirect"})).status == 302
    client.close()


def test_no_answer_in_time_is_told_in_aws_words(silent: str) -> None:
    """The text that AWS has for a model that is too slow."""
    with pytest.raises(
        NoAnswer, match=r"^Your invocation timed out while waiting for a response from container primary"
    ):
        ContainerClient().invoke(silent, Call(b"x", {}, seconds=0.05))
