"""Requests made of botocore's own model, valid or broken in one place: no 500, no hang, and AWS's own words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from botocore.model import OperationModel
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from broken import Break, breaks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sense import sensible
from valid import parameters
from world import Answer, World

from emulator.operations import OPERATIONS, RUNTIME_OPERATIONS
from emulator.wire.model import service_model

MODELS = {
    name: service_model(service).operation_model(name)
    for service, table in (("sagemaker", OPERATIONS), ("sagemaker-runtime", RUNTIME_OPERATIONS))
    for name in table
}
# What Describe tells under another name, or not at all; AWS's does the same.
DESCRIBES = {f"Create{kind}": (f"Describe{kind}", name) for kind, name in (
    ("TrainingJob", "TrainingJobName"),
    ("Model", "ModelName"),
    ("EndpointConfig", "EndpointConfigName"),
    ("Endpoint", "EndpointName"),
)}  # fmt: skip
REFUSALS = {"ValidationException", "ValidationError", "ResourceInUse", "ResourceNotFound", "ResourceLimitExceeded"}
SEEDED = 300  # requests: so few are the same ones each time
SHARES = {"valid": 0.5, "invalid": 0.4, "malformed": 0.05, "socket": 0.05}


def requests(share: str, total: int) -> settings:
    """Settings for that share of the requests, for one operation of all."""
    count = math.ceil(total * SHARES[share] / len(MODELS))
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[*checks, HealthCheck.function_scoped_fixture],
        phases=[Phase.generate, Phase.shrink],
        derandomize=total == SEEDED,
    )


@pytest.fixture(params=sorted(MODELS))
def operation(request: pytest.FixtureRequest) -> OperationModel:
    """Each operation of the tables."""
    return MODELS[request.param]


@pytest.fixture
def total(pytestconfig: pytest.Config) -> int:
    """How many requests in all."""
    return int(pytestconfig.getoption("--fuzz-requests"))


def ask(
    world: World, operation: OperationModel, given: dict[str, Any], body: Any = None, socket: bool = False
) -> Answer:
    """The answer, which is never a failure of the emulator's, and is what the model says that it is."""
    answer = world.call(operation.name, given, body, socket=socket)
    world.asked[operation.name, answer.code or "200"] += 1
    assert answer.status < 500 or answer.code == "NotImplemented", answer
    if answer.status < 300 and operation.output_shape is not None:
        told = {k: v for k, v in answer.parsed.items() if k != "ResponseMetadata"}
        if operation.has_streaming_output:
            told = {k: v for k, v in told.items() if not hasattr(v, "read") and k != "Body"}
        report = ParamValidator().validate(told, operation.output_shape)
        missing = [e for e in report._errors if "Body" not in str(e)]
        assert not missing, report.generate_report()
    return answer


def draw_valid(world: World, data: st.DataObject, operation: OperationModel) -> tuple[dict[str, Any], bool]:
    """Parameters that the model allows, and whether they are also such as can be carried out."""
    if operation.name.startswith(("Delete", "Stop", "Update", "Invoke")):
        world.ensure()
    implemented = data.draw(st.integers(0, 3)) > 0
    given = data.draw(parameters(operation, implemented=implemented))
    return (sensible(operation.name, given, data.draw, world.job) if implemented else given), implemented


def check_valid(world: World, operation: OperationModel, given: dict[str, Any], answer: Answer) -> None:
    """Accepted, and then described as it was sent; or refused for a reason that the model does not know of."""
    if answer.code == "NotImplemented":
        assert operation.name in answer.message
        return
    if answer.status >= 300:
        assert answer.code in REFUSALS, answer
        assert "validation error" not in answer.message, answer
        assert "Unknown parameter" not in answer.message, answer
        return
    if "NextToken" in answer.parsed:
        following = world.call(operation.name, {**given, "NextToken": answer.parsed["NextToken"]})
        assert following.status == 200, following
    if operation.name in DESCRIBES:
        describe, name = DESCRIBES[operation.name]
        description = world.call(describe, {name: given[name]}).parsed
        shown = {k: v for k, v in given.items() if k in MODELS[describe].output_shape.members}
        assert not list(differences(shown, description, ""))
        if given.get("Tags"):
            arn = next(v for k, v in answer.parsed.items() if k.endswith("Arn"))
            tags = world.call("ListTags", {"ResourceArn": arn}).parsed["Tags"]
            assert sorted(tags, key=str) == sorted(given["Tags"], key=str)
        if operation.name == "CreateEndpoint":
            world.call("DeleteEndpoint", {"EndpointName": given["EndpointName"]})


def differences(sent: Any, shown: Any, path: str) -> Iterator[str]:
    """Where what is shown is not what was sent; more may be shown."""
    if isinstance(sent, dict):
        if not isinstance(shown, dict):
            yield f"{path}: {shown!r} for {sent!r}"
            return
        for key, value in sent.items():
            yield from differences(value, shown.get(key), f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(shown, list) and len(sent) == len(shown):
        for index, value in enumerate(sent):
            yield from differences(value, shown[index], f"{path}[{index}]")
    elif isinstance(sent, datetime) and isinstance(shown, datetime):
        if abs((sent - shown).total_seconds()) > 0.001:
            yield f"{path}: {shown} for {sent}"
    elif sent != shown:
        yield f"{path}: {shown!r} for {sent!r}"


def test_what_the_model_allows_is_accepted(world: World, operation: OperationModel, total: int) -> None:
    """Or refused by name; and Describe gives back what was sent."""

    @requests("valid", total)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        sent, _ = draw_valid(world, data, operation)
        check_valid(world, operation, sent, ask(world, operation, sent))

    fuzz()


def test_what_is_wrong_in_one_place_is_said_to_be(world: World, operation: OperationModel, total: int) -> None:
    """400, with AWS's words and the place."""

    @requests("invalid", total)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        check_invalid(world, operation, data, socket=False)

    fuzz()


def check_invalid(world: World, operation: OperationModel, data: st.DataObject, *, socket: bool) -> None:
    """Break one place, and look at what is said."""
    is_json = operation.service_model.metadata["protocol"] == "json"
    sent, _ = draw_valid(world, data, operation)
    places = list(breaks(operation.input_shape, sent, typed=is_json))
    kind = data.draw(st.sampled_from(sorted({place.kind for place in places}))) if places else None
    if kind is None:
        return
    place = data.draw(st.sampled_from([place for place in places if place.kind == kind]))
    if is_json:
        answer = ask(world, operation, sent, place.of(as_json(operation, sent)), socket)
    else:
        answer = ask(world, operation, place.of(sent), None, socket)
    if place.tokens == ("Body",) and operation.input_shape.members["Body"].name == "BodyBlob":
        # Refused by its length alone, before anybody reads it.
        assert answer.status == 413, (place, answer)
        return
    assert answer.status == 400, (place, answer)
    check_words(place, answer)


def check_words(place: Break, answer: Answer) -> None:
    """AWS's own, for that kind of mistake."""
    if place.kind == "type":
        assert answer.code == "SerializationException", (place, answer)
        return
    assert answer.code in ("ValidationException", "ValidationError"), (place, answer)
    if place.kind == "unknown":
        assert "NoSuchMember" in answer.message
        return
    assert f" at '{place.place}' failed to satisfy constraint: " in answer.message, (place, answer)
    assert ("Value null at" in answer.message) == (place.kind == "missing")


def as_json(operation: OperationModel, given: dict[str, Any]) -> Any:
    """What botocore writes into the body."""
    serialized = create_serializer("json", include_validation=False).serialize_to_request(given, operation)
    return json.loads(serialized["body"])


MALFORMED = [
    b"", b"{", b"[]", b"null", b"7", b'"text"', b"{}}", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000, b"9" * 5000,
    b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": "\\ud800"}',
    b"\x00", b" ", b'{"a": 1' + b" " * 1_000_000, b'{"\\u0000": 1}',
]  # fmt: skip


def test_a_body_that_is_no_request_is_refused(world: World, operation: OperationModel, total: int) -> None:
    """Whatever it is: a 400, or what an empty request is answered."""
    if operation.service_model.metadata["protocol"] != "json":
        pytest.skip("any body is a request")

    @requests("malformed", total)
    @given(st.sampled_from(MALFORMED) | st.binary(max_size=200))
    def fuzz(body: bytes) -> None:
        answer = ask(world, operation, {}, body)
        # An empty body is the empty request, and an empty request is one for lists.
        assert answer.status == 400 or (answer.status == 200 and body.strip() in (b"", b"{}")), answer

    fuzz()


def test_it_is_the_same_over_a_socket(world: World, operation: OperationModel, total: int) -> None:
    """Valid and invalid ones in turns."""

    @requests("socket", total)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            sent, _ = draw_valid(world, data, operation)
            check_valid(world, operation, sent, ask(world, operation, sent, None, True))
        else:
            check_invalid(world, operation, data, socket=True)

    fuzz()
