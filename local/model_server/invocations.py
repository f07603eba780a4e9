"""An invocation, from headers and body to the answer; the place where handlers of inference.py will hook in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from model_server import bodies
from model_server.catalogue import Catalogue, Choice
from model_server.errors import BadInputError, NotImplementedHereError
from model_server.prediction import predict

METHODS = ("predict", "classify", "regress")

_ATTRIBUTE = re.compile(r"(tfs-[a-z-]+)=([^,]+)")
_LONGEST_VERSION = 19  # digits of an int64


@dataclass(frozen=True)
class Attributes:
    """What the header X-Amzn-SageMaker-Custom-Attributes chooses."""

    choice: Choice = field(default_factory=Choice)
    method: str = "predict"


@dataclass(frozen=True)
class Invocation:
    """One request for a prediction."""

    attributes: Attributes
    content_type: str | None
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The JSON and which model gave it."""

    body: bytes
    model: str  # name/version, for the log


def read_attributes(header: str | None) -> Attributes:
    """`tfs-model-name=…,tfs-model-version=…,tfs-method=…`, each optional, among whatever else the header holds.

    Raises BadInputError for a version that is no number and a method that TensorFlow Serving has not.
    """
    values = {name: value.strip() for name, value in _ATTRIBUTE.findall(header or "")}
    version = values.get("tfs-model-version")
    method = values.get("tfs-method", "predict")
    if method not in METHODS:
        raise BadInputError(f"Malformed request: tfs-method={method} must be one of {', '.join(METHODS)}")
    return Attributes(Choice(values.get("tfs-model-name"), None if version is None else read_version(version)), method)


def read_version(text: str) -> int:
    """A model version. Raises BadInputError when it is no whole number that an int64 can hold."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_VERSION):
        raise BadInputError(f"Failed to convert version: {text[:40]} to numeric.")
    return int(text)


def answer(invocation: Invocation, catalogue: Catalogue) -> Answer:
    """The container's own translation: read the body by its type, run the method. Raises RequestError."""
    request = bodies.read(invocation.content_type, invocation.body)
    name, version, servable = catalogue.find(invocation.attributes.choice)
    refuse_unknown_method(invocation.attributes.method)
    return Answer(predict(servable, request), f"{name}/{version}")


def answer_serving(attributes: Attributes, body: bytes, catalogue: Catalogue) -> Answer:
    """TensorFlow Serving's own route: the body is its request, whatever its Content-Type says. Raises RequestError."""
    name, version, servable = catalogue.find(attributes.choice)
    refuse_unknown_method(attributes.method)
    return Answer(predict(servable, bodies.read_request(body)), f"{name}/{version}")


def refuse_unknown_method(method: str) -> None:
    """Raise NotImplementedHereError for the methods that are not there yet."""
    if method != "predict":
        raise NotImplementedHereError(f"The method {method} is not implemented by this model server, only predict is")
