"""The routes of multi-model mode, as a WSGI application."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from model_server import invocations
from model_server.application import CUSTOM_ATTRIBUTES, JSON, Application, json_response
from model_server.errors import BadInputError
from model_server.invocations import Invocation
from model_server.multi_model import MultiModel

_ROUTES = Map(
    [
        Rule("/ping", methods=["GET"], endpoint="ping"),
        Rule("/models", methods=["GET"], endpoint="list"),
        Rule("/models", methods=["POST"], endpoint="load"),
        Rule("/models/<name>", methods=["GET"], endpoint="describe"),
        Rule("/models/<name>", methods=["DELETE"], endpoint="unload"),
        Rule("/models/<name>/invoke", methods=["POST"], endpoint="invoke"),
    ],
    strict_slashes=False,
    merge_slashes=False,
)


class MultiModelApplication(Application):
    """Answers requests about models that come and go."""

    def __init__(self, models: MultiModel, log_access: Callable[[str], None]) -> None:
        super().__init__(log_access)
        self._models = models

    def dispatch(self, request: Request) -> tuple[Response, str]:
        """The answer, and a note for the log. Raises RequestError and HTTPException."""
        endpoint, values = _ROUTES.bind_to_environ(request.environ).match()
        if endpoint == "ping":
            return Response(status=200, content_type=JSON), ""
        if endpoint == "list":
            return json_response({"models": self._models.list()}), ""
        if endpoint == "load":
            name, url = _read_load(request.get_data())
            self._models.load(name, url)
            return json_response({"message": f"Successfully loaded model {name}"}), f" {name}"
        name = values["name"]
        if endpoint == "describe":
            return json_response(self._models.describe(name)), ""
        if endpoint == "unload":
            self._models.unload(name)
            return json_response({"message": f"Successfully unloaded model {name}"}), f" {name}"
        with self._models.use(name) as catalogue:
            attributes = invocations.read_attributes(request.headers.get(CUSTOM_ATTRIBUTES))
            invocation = Invocation(attributes, request.headers.get("Content-Type"), request.get_data())
            answer = invocations.answer(invocation, catalogue)
        return Response(answer.body, content_type=JSON), f" {name} {answer.model}"


def _read_load(body: bytes) -> tuple[str, str]:
    try:
        request: Any = json.loads(body)
    except ValueError as error:
        raise BadInputError(f"The body is not JSON: {error}") from error
    name, url = (request.get(key) if isinstance(request, dict) else None for key in ("model_name", "url"))
    if not (isinstance(name, str) and name and isinstance(url, str) and url):
        raise BadInputError('The body must be {"model_name": "…", "url": "…"}')
    return name, url
