"""The HTTP server: waitress, from sockets to `http.Request` and back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, get_header_lines
from waitress.task import WSGITask

from emulator.http import Request, Response

_LOG = logging.getLogger(__name__)
_THREADS = 64  # an invocation may hold one for a minute, and its container calls S3 through here meanwhile
_CONNECTIONS = 1000
_LARGEST_BODY = 5 * 1024**4  # S3's largest object; waitress keeps bodies of more than 512 KB on disk
_FLUSH_SECONDS = 1.0
_HEADERS = "emulator.headers"
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

Handler = Callable[[Request], Response]


class Server:
    """Serves `handler` on `host`:`port` (0: any free one), each request on a thread of its own, once it is read."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1", port: int = 0, *, threads: int = _THREADS) -> None:
        """Binds the port at once (raises OSError when it is taken), but answers only after `start`."""
        self._handler = handler
        self._sockets: dict[int, Any] = {}
        self._waitress: Any = waitress.create_server(
            self._application,
            map=self._sockets,
            host=host,
            port=port,
            threads=threads,
            connection_limit=_CONNECTIONS,
            max_request_body_size=_LARGEST_BODY,
            clear_untrusted_proxy_headers=False,  # signatures may cover them
            asyncore_use_poll=True,
            ident=None,
        )
        self._waitress.channel_class = _Channel
        self._ended = threading.Event()
        self._stopping = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="http-server", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._waitress.effective_port)

    def start(self) -> None:
        """Begin to answer; returns at once."""
        self._thread.start()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Accept no more, give running requests `grace_seconds` to end, and close all connections. Idempotent."""
        with self._stopping:
            if self._ended.is_set():
                return
            if self._thread.is_alive():
                self._waitress.trigger.pull_trigger(lambda: wasyncore.dispatcher.close(self._waitress))
            self._waitress.task_dispatcher.shutdown(timeout=grace_seconds)
            self._flush(time.monotonic() + _FLUSH_SECONDS)
            self._ended.set()
            if self._thread.is_alive():
                self._waitress.pull_trigger()
                self._thread.join()
            # A thread that did not end in time will yet write to this descriptor, which may be another file's by then.
            self._waitress.pull_trigger = lambda: None
            wasyncore.close_all(self._sockets)

    def _flush(self, deadline: float) -> None:
        """Wait for the last answers to leave."""
        while time.monotonic() < deadline and self._thread.is_alive():
            if not any(channel.total_outbufs_len for channel in list(self._waitress.active_channels.values())):
                return
            self._ended.wait(0.01)

    def _loop(self) -> None:
        while not self._ended.is_set():
            wasyncore.loop(timeout=1, use_poll=True, map=self._sockets, count=1)

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        request = Request(
            method=environ["REQUEST_METHOD"],
            target=environ["REQUEST_URI"],
            headers=environ[_HEADERS],
            body=environ["wsgi.input"],
            length=length,
        )
        try:
            response = self._handler(request)
        except Exception:  # noqa: BLE001 - the last place that can turn a mistake into an answer and a log entry
            _LOG.exception("%r %r failed", request.method, request.path)
            response = Response(500, {"Content-Type": "text/plain"}, b"Internal failure; see the emulator's log.\n")
        headers = dict(response.headers)
        body: Iterable[bytes]
        if isinstance(response.body, bytes):
            headers.setdefault("Content-Length", str(len(response.body)))
            body = [response.body]
        else:
            body = response.body
        without_body = response.status in _WITHOUT_BODY
        if without_body:
            # Else waitress warns that it finds fewer bytes than announced.
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        if without_body or request.method == "HEAD":
            close = getattr(body, "close", None)
            if close is not None:
                close()
            body = []
        start_response(f"{response.status} {_reason(response.status)}", list(headers.items()))
        return body


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Keeps the headers by the names they came with: waitress drops those with an underscore (S3 metadata has some)."""

    def __init__(self, adjustments: Any) -> None:
        super().__init__(adjustments)
        self.named_headers: dict[str, str] = {}

    def parse_header(self, header_plus: bytes) -> None:
        _refuse_what_is_ambiguous(header_plus)
        super().parse_header(header_plus)
        if self.body_rcv is None:
            # There is nothing to continue with; waitress 3.0.2 would wait for it for ever (boto3 sends such requests).
            self.expect_continue = False
        for line in get_header_lines(header_plus.partition(b"\r\n")[2]):
            raw_name, _, raw_value = line.partition(b":")
            name, value = raw_name.decode("latin-1").lower(), raw_value.strip(b" \t").decode("latin-1")
            known = self.named_headers.get(name)
            self.named_headers[name] = value if known is None else f"{known}, {value}"


def _refuse_what_is_ambiguous(header: bytes) -> None:
    """What two servers may read differently (RFC 9112, 5.2 and 6.1): waitress takes it. Raises ParsingError."""
    lines = header.lower()
    if b"\r\n " in lines or b"\r\n\t" in lines:
        raise ParsingError("A header is folded over lines")
    if b"\r\ntransfer-encoding:" in lines and b"\r\ncontent-length:" in lines:
        raise ParsingError("The request has both Transfer-Encoding and Content-Length")


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        headers = dict(self.request.named_headers)
        if headers.pop("transfer-encoding", None) is not None:
            headers["content-length"] = environ["CONTENT_LENGTH"]  # waitress has joined the chunks
        environ[_HEADERS] = headers
        return environ

    def build_response_header(self) -> bytes:
        # Waitress capitalises the names, and boto3 makes the keys of S3 metadata from them.
        names = {name.lower(): name for name, _ in self.response_headers}
        head: bytes = super().build_response_header()
        first, *lines = head.decode("latin-1").split("\r\n")
        for index, line in enumerate(lines):
            name, colon, value = line.partition(":")
            lines[index] = names.get(name.lower(), name) + colon + value
        return "\r\n".join([first, *lines]).encode("latin-1")


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    task_class = _Task
