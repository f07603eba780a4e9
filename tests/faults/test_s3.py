"""An S3 that fails or is slow, behind --s3-endpoint: jobs wait for it or fail with the reason, all else goes on."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from machine import Machine, create_job, create_model, ended, job, store_words
from rehearsal import poll

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


class FakeFailingS3(ThreadingHTTPServer):
    """Passes requests on to a real S3, but for those that it lets fail, or lets wait."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.failing: tuple[int, bytes] | None = None
        self.failures = 0  # how many requests fail; -1: all
        self.held = threading.Event()  # requests wait for it
        self.held.set()
        self.failed = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, status: int, body: bytes, times: int = -1) -> None:
        """Answer like that from now on."""
        self.failing, self.failures = (status, body), times


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeFailingS3

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        server.held.wait(60)
        if server.failing and server.failures:
            server.failures -= 1
            server.failed += 1
            self._answer(server.failing[0], {"Content-Type": "application/xml"}, server.failing[1])
            return
        assert server.upstream.hostname
        connection = http.client.HTTPConnection(server.upstream.hostname, server.upstream.port or 80, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        length = headers.pop("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815 - http.server's names

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def failing(localstack: str) -> Iterator[FakeFailingS3]:
    """It works until it is told otherwise."""
    server = FakeFailingS3(localstack)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.held.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(("status", "body"), [(500, INTERNAL), (503, SLOW_DOWN)])
def test_an_s3_that_fails_for_good(
    start: Callable[..., Machine], failing: FakeFailingS3, status: int, body: bytes
) -> None:
    """The job fails, after it was tried again, and says of what; models are made meanwhile, and a job later works."""
    machine = start("--s3-endpoint", failing.url)
    data = store_words(machine)
    failing.fail(status, body)
    create_job(machine, f"failing-{status}", data)
    create_model(machine, "meanwhile")
    description = ended(machine, f"failing-{status}")
    assert description["TrainingJobStatus"] == "Failed"
    assert body[13:20].decode() in description["FailureReason"]
    assert failing.failed > 1
    failing.failing = None
    create_job(machine, "later", data)
    assert ended(machine, "later")["TrainingJobStatus"] == "Completed"


def test_an_s3_that_fails_for_a_moment(start: Callable[..., Machine], failing: FakeFailingS3) -> None:
    """The job does not notice."""
    machine = start("--s3-endpoint", failing.url)
    data = store_words(machine)
    failing.fail(503, SLOW_DOWN, times=2)
    create_job(machine, "patient", data)
    assert ended(machine, "patient")["TrainingJobStatus"] == "Completed"
    assert failing.failed == 2


def test_an_s3_that_is_slow(start: Callable[..., Machine], failing: FakeFailingS3) -> None:
    """The job waits in Downloading, others are served meanwhile, and it completes when S3 answers."""
    machine = start("--s3-endpoint", failing.url)
    data = store_words(machine)
    failing.held.clear()
    create_job(machine, "slow", data)
    poll(lambda: job(machine, "slow")["SecondaryStatus"] == "Downloading", "it waits", 20)
    create_model(machine, "others")
    failing.held.set()
    assert ended(machine, "slow")["TrainingJobStatus"] == "Completed"
