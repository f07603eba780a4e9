"""The routes of multi-model mode, as a handler of `http_service`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from http_service.messages import Request, Response
from model_server import invocations
from model_server.application import (
    JSON,
    SERVING_ROUTES,
    Application,
    answered,
    asked,
    handled,
    json_response,
    read_invocation,
    serve,
)
from model_server.catalogue import Choice
from model_server.errors import BadInputError
from model_server.handler_context import GrpcClient
from model_server.multi_model import Model, MultiModel
from model_server.routes import Routes
from model_server.user_code import UserCode

_MODEL = "/models/(?P<name>[^/]+)"
_ROUTES = Routes(
    ("POST", f"{_MODEL}/invoke", "invoke"),
    ("GET", "/ping", "ping"),
    ("GET", "/models", "list"),
    ("POST", "/models", "load"),
    ("GET", _MODEL, "describe"),
    ("DELETE", _MODEL, "unload"),
    ("POST", "/invocations", "invocations"),
    *SERVING_ROUTES,
)
_PAGE = 100  # models at most on a page of the list, as in AWS's multi-model-server


class MultiModelApplication(Application):
    """Answers requests about models that come and go."""

    def __init__(
        self,
        models: MultiModel,
        code: UserCode,
        log_access: Callable[[str], None],
        grpc: GrpcClient,
        *,
        npy: bool = False,
    ) -> None:
        """`code` is the universal one: it answers for models that bring no handlers of their own."""
        super().__init__(log_access, grpc, npy=npy)
        self._models = models
        self._code = code

    def dispatch(self, request: Request, path: str) -> tuple[Response, str]:
        """The answer for the decoded path, and a note for the log. Raises RequestError."""
        endpoint, values = _ROUTES.match(request.method, path)
        if endpoint == "ping":
            return Response(200 if self._code.ready else 502, {"Content-Type": JSON}), ""
        if endpoint == "list":
            return json_response(_page(self._models.list(), dict(request.query))), ""
        if endpoint == "invocations":
            raise BadInputError("Invocation request does not contain model name.")
        if endpoint == "load":
            name, url = _read_load(request.read())
            self._models.load(name, url)
            return json_response({"message": f"Successfully loaded model {name}"}), f" {name}"
        name = values["name"]
        if endpoint == "describe":
            return json_response(self._models.describe(name)), ""
        if endpoint == "unload":
            self._models.unload(name)
            return json_response({"message": f"Successfully unloaded model {name}"}), f" {name}"
        if endpoint != "invoke":  # TensorFlow Serving's routes
            with self._models.catalogue(name) as catalogue:
                return serve(endpoint, values, request, catalogue)
        with self._models.use(name) as model:
            response, note = self._invoke(request, name, model)
        return response, f" {name}{note}"

    def _invoke(self, request: Request, name: str, model: Model) -> tuple[Response, str]:
        handler = model.handler or self._code.handler  # the model's own win
        if handler is not None:
            return handled(handler, request, asked(request).context(self.address, self._grpc, name, name))
        invocation = read_invocation(request, npy=self._npy)
        choice = Choice(name, invocation.attributes.choice.version)  # the path says which model it is
        attributes = replace(invocation.attributes, choice=choice)
        return answered(invocations.answer(replace(invocation, attributes=attributes), model.catalogue))


def _page(models: list[dict[str, str]], query: Mapping[str, str]) -> dict[str, Any]:
    """`limit` models from `next_page_token` on, and the token of the next page, if there is one.

    The contract says that the list "supports pagination", and not how; so these are multi-model-server's parameters.
    """
    numbers = {}
    for name, default, allowed in (("limit", _PAGE, range(1, _PAGE + 1)), ("next_page_token", 0, range(10**9))):
        text = query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) in allowed):
            raise BadInputError(
                f"{name} must be a whole number from {allowed.start} to {allowed.stop - 1}, not {text[:40]!r}"
            )
        numbers[name] = int(text)
    start = numbers["next_page_token"]
    end = start + numbers["limit"]
    page: dict[str, Any] = {"models": models[start:end]}
    return {**page, "nextPageToken": str(end)} if end < len(models) else page


def _read_load(body: bytes) -> tuple[str, str]:
    try:
        request: Any = json.loads(body)
    except ValueError as error:
        raise BadInputError(f"The body is not JSON: {error}") from error
    name, url = (request.get(key) if isinstance(request, dict) else None for key in ("model_name", "url"))
    if not (isinstance(name, str) and name and isinstance(url, str) and url):
        raise BadInputError('The body must be {"model_name": "…", "url": "…"}')
    if "/" in name or ":" in name:  # SageMaker's own are hashes
        raise BadInputError(f"model_name must have no slash and no colon, or no route would reach the model: {name!r}")
    return name, url
