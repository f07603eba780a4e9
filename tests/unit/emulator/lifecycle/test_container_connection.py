"""Connections to containers: kept, given up and begun anew, over raw sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from emulator.lifecycle.health import Answer, Call, ContainerClient, NoAnswer

CALL = Call(b"x", {"Content-Type": "a/b"}, seconds=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class FakeContainer:
    """Answers by a script: for each connection the answers to its requests; then it closes the connection."""

    def __init__(self, script: list[list[bytes]]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[list[bytes]] = []
        self.closed = [threading.Event() for _ in script]
        self._script = script
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answers, closed in zip(self._script, self.closed, strict=True):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.requests.append([])
            with connection:
                for answer in answers:
                    received = b""
                    while b"\r\n\r\nx" not in received and (block := connection.recv(65536)):
                        received += block
                    if not received:
                        break
                    self.requests[-1].append(received)
                    connection.sendall(answer)
            closed.set()

    def end(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def scripted(*script: list[bytes]) -> Iterator[tuple[FakeContainer, Callable[[], Answer]]]:
    """A container, and what asks it."""
    container, client = FakeContainer(list(script)), ContainerClient()
    try:
        yield container, lambda: client.invoke(container.address, CALL)
    finally:
        client.close()
        container.end()


def test_a_connection_is_kept() -> None:
    """Several requests go over one, with their headers and a Host."""
    with scripted([OK, OK, OK]) as (container, ask):
        assert [ask().body for _ in range(3)] == [b"ok"] * 3
    (requests,) = container.requests
    head = f"POST /invocations HTTP/1.1\r\nHost: {container.address}\r\nContent-Length: 1\r\nContent-Type: a/b\r\n\r\n"
    assert requests[0] == head.encode() + b"x"


def test_a_connection_that_the_container_has_ended_is_not_used() -> None:
    """The next request has a new one, and its sender notices nothing."""
    with scripted([OK], [OK]) as (container, ask):
        ask()
        assert container.closed[0].wait(5)
        assert ask().body == b"ok"
    assert [len(requests) for requests in container.requests] == [1, 1]


def test_a_request_that_may_have_been_begun_is_not_repeated() -> None:
    """The container reads it and ends: invoking a model twice is worse than an error."""
    with scripted([OK, b""], [OK]) as (container, ask):
        ask()
        with pytest.raises(NoAnswer, match="the connection ended before the answer did"):
            ask()
        assert [len(requests) for requests in container.requests] == [2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_answers_that_end_their_connection(answer: bytes) -> None:
    """Those of servers that keep none, with and without a length."""
    with scripted([answer], [answer]) as (container, ask):
        assert ask().body == b"ok"
        assert ask().body == b"ok"
    assert [len(requests) for requests in container.requests] == [1, 1]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_forms_of_answers(answer: bytes, body: bytes) -> None:
    """Preliminary answers are skipped, chunks joined; the connection is kept."""
    with scripted([answer, OK]) as (container, ask):
        assert ask().body == body
        assert ask().body == b"ok"
    assert len(container.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "the connection ended before the answer did"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "the connection ended before"),
        (b"SSH-2.0-x\r\n", "what it answered is not HTTP/1.1"),
    ],
)
def test_answers_that_break_off(answer: bytes, reason: str) -> None:
    """Half an answer is none."""
    with scripted([answer]) as (_, ask), pytest.raises(NoAnswer, match=reason):
        ask()


def test_a_container_may_answer_before_it_has_read_everything() -> None:
    """As servers do to refuse a large body: their answer counts, not the connection's end."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10)
                connection.sendall(refusal)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        answer = ContainerClient().invoke(address, Call(bytes(8 << 20), {}, seconds=10))
        thread.join()
    assert (answer.status, answer.body) == (413, b"big")


def test_nobody_listens() -> None:
    """It is said so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(NoAnswer, match="it takes no connections"):
        ContainerClient().invoke(address, CALL)


def test_an_answer_comes_piece_by_piece() -> None:
    """Each block is there before the container has sent the next."""
    go = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stream() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
                go.wait(10)
                connection.sendall(b"2\r\ncd\r\n0\r\n\r\n")

        thread = threading.Thread(target=stream)
        thread.start()
        client = ContainerClient()
        stream_ = client.stream(f"127.0.0.1:{listener.getsockname()[1]}", CALL)
        blocks = stream_.blocks()
        assert next(blocks) == b"ab"
        go.set()
        assert list(blocks) == [b"cd"]
        stream_.close()
        client.close()
        thread.join()
