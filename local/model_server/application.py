"""The routes, as a handler of `http_service`: HTTP on the outside, records and exceptions on the inside."""

from __future__ import annotations

import json
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from http_service.messages import Request, Response
from model_server import answers, custom_attributes, invocations
from model_server import npy as npy_format
from model_server.catalogue import Catalogue, Choice
from model_server.errors import MethodNotAllowedError, RequestError, UnsupportedMediaTypeError
from model_server.handler_context import Asked, Context, GrpcClient
from model_server.handlers import Handler, HandlerError
from model_server.invocations import Answer, Attributes, Invocation
from model_server.routes import Routes
from model_server.user_code import UserCode

JSON = "application/json"

_SERVING = "/v1/models/"
_MODEL = f"{_SERVING}(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?"
SERVING_ROUTES = (
    ("GET", _MODEL, "status"),
    ("GET", f"{_MODEL}/metadata", "metadata"),
    ("POST", f"{_MODEL}:(?P<method>{'|'.join(invocations.METHODS)})", "serving"),
)
_ROUTES = Routes(("POST", "/invocations", "invocations"), ("GET", "/ping", "ping"), *SERVING_ROUTES)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HandlerResponse(Response):
    """What a handler of inference.py answers, or fails with: an Accept does not change its Content-Type."""


class Application(ABC):
    """Answers requests; counts those under way, so that a stop can wait for them."""

    def __init__(self, log_access: Callable[[str], None], grpc: GrpcClient, *, npy: bool = False) -> None:
        """`npy`: application/x-npy is understood."""
        self.address = ""  # http://host:port, for handlers; known when the port is open
        self._grpc = grpc
        self._npy = npy
        self._log_access = log_access
        self._idle = threading.Condition()
        self._under_way = 0
        self._stopping = False

    def __call__(self, request: Request) -> Response:
        """The answer; called from many threads. Never raises."""
        with self._idle:
            self._under_way += 1
        try:
            return self._respond(request)
        finally:
            with self._idle:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.notify_all()

    def refuse(self) -> None:
        """Answer 503 to every request from now on, except to those of handlers that are under way."""
        self._stopping = True

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait for the requests under way; whether they all ended in time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._under_way, seconds)

    def _respond(self, request: Request) -> Response:
        start = time.perf_counter()
        path = unquote(request.path)
        note = ""
        try:
            if self._stopping and not self._may_be_a_handlers(path):
                response = _error(503, "The server is stopping")
            else:
                response, note = self.dispatch(request, path)
        except RequestError as error:
            response = _error(error.status, str(error), error)
            if isinstance(error, HandlerError):
                response = HandlerResponse(response.status, response.headers, response.body)
            note = f" {error}"
        except Exception as error:  # noqa: BLE001 - the server must outlive whatever one request does to it
            _log.exception("%s %s failed", request.method, ascii(path))
            response = _error(500, f"{type(error).__name__}: {error}")
        translated = path.endswith(("/invocations", "/invoke")) and not isinstance(response, HandlerResponse)
        if translated and response.status != UnsupportedMediaTypeError.status:
            accept = request.headers.get("accept")
            if not (self._npy and npy_format.is_wanted(accept)):  # then what has that type is an array indeed
                response = _use_accept(accept, response)
        if path != "/ping":
            milliseconds = (time.perf_counter() - start) * 1000
            self._log_access(_access_line(request, path, response, f"{milliseconds:.1f} ms{note}"))
        return response

    def _may_be_a_handlers(self, path: str) -> bool:
        with self._idle:
            return path.startswith(_SERVING) and self._under_way > 1

    @abstractmethod
    def dispatch(self, request: Request, path: str) -> tuple[Response, str]:
        """The answer for the decoded path, and a note for the log. Raises RequestError."""


class CatalogueApplication(Application):
    """Answers requests about the models of a catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        code: UserCode,
        log_access: Callable[[str], None],
        grpc: GrpcClient,
        *,
        npy: bool = False,
    ) -> None:
        super().__init__(log_access, grpc, npy=npy)
        self._catalogue = catalogue
        self._code = code

    def dispatch(self, request: Request, path: str) -> tuple[Response, str]:
        """The answer for the decoded path, and a note for the log. Raises RequestError."""
        endpoint, values = _ROUTES.match(request.method, path)
        if endpoint == "invocations":
            if (handler := self._code.handler) is not None:
                return handled(handler, request, self._context(request))
            return answered(invocations.answer(read_invocation(request, npy=self._npy), self._catalogue))
        if endpoint == "ping":
            ready = self._catalogue.ready() and self._code.ready
            return Response(200 if ready else 502, {"Content-Type": JSON}), ""
        return serve(endpoint, values, request, self._catalogue)

    def _context(self, request: Request) -> Context:
        return asked(request).context(self.address, self._grpc, self._catalogue.default_name)


def serve(endpoint: str, values: Mapping[str, str], request: Request, catalogue: Catalogue) -> tuple[Response, str]:
    """Answer one of SERVING_ROUTES, TensorFlow Serving's own. Raises RequestError."""
    name = values["name"]
    version = invocations.read_version(values["version"]) if "version" in values else None
    if endpoint == "status":
        return json_response(catalogue.status(name, version)), ""
    if endpoint == "metadata":
        return json_response(_metadata(catalogue, Choice(name, version))), ""
    attributes = Attributes(Choice(name, version), values["method"])
    return answered(invocations.answer_serving(attributes, request.read(), catalogue))


def _metadata(catalogue: Catalogue, choice: Choice) -> dict[str, Any]:
    name, version, servable = catalogue.find(choice)
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": servable.definitions()}},
    }


def asked(request: Request) -> Asked:
    """What a handler is told of the request."""
    headers = request.headers
    return Asked(
        custom_attributes=headers.get(custom_attributes.HEADER),
        content_type=headers.get("content-type"),
        accept=headers.get("accept"),
        content_length=request.length,
    )


def handled(handler: Handler, request: Request, context: Context) -> tuple[Response, str]:
    """The response of a handler, and a note for the log. Raises HandlerError."""
    answer = handler.answer(request.read(), context)
    return HandlerResponse(200, {"Content-Type": answer.content_type}, answer.body), " inference.py"


def read_invocation(request: Request, *, npy: bool) -> Invocation:
    """What the HTTP request asks for. Raises BadInputError for custom attributes that make no sense."""
    headers = request.headers
    return Invocation(
        attributes=invocations.read_attributes(headers.get(custom_attributes.HEADER)),
        content_type=headers.get("content-type"),
        body=request.read(),
        accept=headers.get("accept"),
        npy=npy,
    )


def answered(answer: Answer) -> tuple[Response, str]:
    """The response of an answer, and a note for the log."""
    return Response(200, {"Content-Type": answer.content_type}, answer.body), f" {answer.model}"


def json_response(value: Any) -> Response:
    """The value as JSON."""
    return Response(200, {"Content-Type": JSON}, json.dumps(value).encode())


def _error(status: int, message: str, error: RequestError | None = None) -> Response:
    headers = {"Allow": error.allow} if isinstance(error, MethodNotAllowedError) else {}
    return Response(status, {"Content-Type": JSON, **headers}, answers.error(message))


def _use_accept(accept: str | None, response: Response) -> Response:
    """An Accept that names JSON or jsonlines: the answer's type is the Accept's first, as in AWS's container."""
    types = [item.split(";")[0].strip() for item in (accept or "").split(",")]
    if JSON not in types and "application/jsonlines" not in types:
        return response
    return replace(response, headers={**response.headers, "Content-Type": types[0] or JSON})


def _access_line(request: Request, path: str, response: Response, note: str) -> str:
    path = ascii(path)[1:-1]  # no newline or escape sequence of a stranger in the log
    length = len(response.body) if isinstance(response.body, bytes) else 0
    note = " ".join(ascii(note)[1:-1].split())[:300]
    return f'"{request.method} {path}" {response.status} {request.length} B in, {length} B out, {note}'
