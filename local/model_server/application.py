"""The routes, as a WSGI application: HTTP on the outside, records and exceptions on the inside."""

from __future__ import annotations

import json
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from model_server import answers, invocations
from model_server.catalogue import Catalogue, Choice
from model_server.errors import RequestError, UnsupportedMediaTypeError
from model_server.invocations import Attributes, Invocation

JSON = "application/json"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"

_SERVING = "/v1/models/<name>"
_METHOD = "<any(predict,classify,regress):method>"
_ROUTES = Map(
    [
        Rule("/ping", methods=["GET"], endpoint="ping"),
        Rule("/invocations", methods=["POST"], endpoint="invocations"),
        Rule(f"{_SERVING}", methods=["GET"], endpoint="status"),
        Rule(f"{_SERVING}/versions/<version>", methods=["GET"], endpoint="status"),
        Rule(f"{_SERVING}/metadata", methods=["GET"], endpoint="metadata"),
        Rule(f"{_SERVING}/versions/<version>/metadata", methods=["GET"], endpoint="metadata"),
        Rule(f"{_SERVING}:{_METHOD}", methods=["POST"], endpoint="serving"),
        Rule(f"{_SERVING}/versions/<version>:{_METHOD}", methods=["POST"], endpoint="serving"),
    ],
    strict_slashes=False,
    merge_slashes=False,
)

_log = logging.getLogger(__name__)


class Application(ABC):
    """Answers requests; counts those under way, so that a stop can wait for them."""

    def __init__(self, log_access: Callable[[str], None]) -> None:
        self._log_access = log_access
        self._idle = threading.Condition()
        self._under_way = 0
        self._stopping = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The WSGI entry."""
        with self._idle:
            self._under_way += 1
        try:
            body: Iterable[bytes] = self._respond(Request(environ))(environ, start_response)
            return body
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def refuse(self) -> None:
        """Answer 503 to every request from now on."""
        self._stopping = True

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait for the requests under way; whether they all ended in time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._under_way, seconds)

    def _respond(self, request: Request) -> Response:
        start = time.perf_counter()
        note = ""
        try:
            if self._stopping:
                response = _error(503, "The server is stopping")
            else:
                response, note = self.dispatch(request)
        except RequestError as error:
            response = _error(error.status, str(error))
            note = f" {error}"
        except HTTPException as error:  # from the routing: no such route, no such method on it
            response = _error(error.code or 500, error.name)
            response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
        except Exception as error:  # noqa: BLE001 - the server must outlive whatever one request does to it
            _log.exception("%s %s failed", request.method, request.path)
            response = _error(500, f"{type(error).__name__}: {error}")
        if (
            request.path.endswith(("/invocations", "/invoke"))
            and response.status_code != UnsupportedMediaTypeError.status
        ):
            _use_accept(request.headers.get("Accept"), response)
        if request.path != "/ping":
            milliseconds = (time.perf_counter() - start) * 1000
            self._log_access(_access_line(request, response, f"{milliseconds:.1f} ms{note}"))
        return response

    @abstractmethod
    def dispatch(self, request: Request) -> tuple[Response, str]:
        """The answer, and a note for the log. Raises RequestError and HTTPException."""


class CatalogueApplication(Application):
    """Answers requests about the models of a catalogue."""

    def __init__(self, catalogue: Catalogue, log_access: Callable[[str], None]) -> None:
        super().__init__(log_access)
        self._catalogue = catalogue

    def dispatch(self, request: Request) -> tuple[Response, str]:
        """The answer, and a note for the log. Raises RequestError and HTTPException."""
        endpoint, values = _ROUTES.bind_to_environ(request.environ).match()
        if endpoint == "ping":
            return Response(status=200 if self._catalogue.ready() else 502, content_type=JSON), ""
        if endpoint == "invocations":
            attributes = invocations.read_attributes(request.headers.get(CUSTOM_ATTRIBUTES))
            invocation = Invocation(attributes, request.headers.get("Content-Type"), request.get_data())
            answer = invocations.answer(invocation, self._catalogue)
            return Response(answer.body, content_type=JSON), f" {answer.model}"
        name = values["name"]
        if ":" in name:  # where the method begins, so this is a method that TensorFlow Serving has not
            raise NotFound
        version = invocations.read_version(values["version"]) if "version" in values else None
        if endpoint == "status":
            return json_response(self._catalogue.status(name, version)), ""
        if endpoint == "metadata":
            return json_response(self._metadata(Choice(name, version))), ""
        answer = invocations.answer_serving(
            Attributes(Choice(name, version), values["method"]), request.get_data(), self._catalogue
        )
        return Response(answer.body, content_type=JSON), f" {answer.model}"

    def _metadata(self, choice: Choice) -> dict[str, Any]:
        name, version, servable = self._catalogue.find(choice)
        return {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": servable.definitions()}},
        }


def json_response(value: Any) -> Response:
    """The value as JSON."""
    return Response(json.dumps(value), content_type=JSON)


def _error(status: int, message: str) -> Response:
    return Response(answers.error(message), status=status, content_type=JSON)


def _use_accept(accept: str | None, response: Response) -> None:
    """An Accept that names JSON or jsonlines: the answer's type is the Accept's first, as in AWS's container."""
    types = [item.split(";")[0].strip() for item in (accept or "").split(",")]
    if "application/json" in types or "application/jsonlines" in types:
        response.headers["Content-Type"] = types[0] or JSON


def _access_line(request: Request, response: Response, note: str) -> str:
    path = ascii(request.path)[1:-1]  # no newline or escape sequence of a stranger in the log
    sizes = f"{request.content_length or 0} B in, {response.content_length or 0} B out"
    note = " ".join(ascii(note)[1:-1].split())[:300]
    return f'{request.remote_addr} "{request.method} {path}" {response.status_code} {sizes}, {note}'
