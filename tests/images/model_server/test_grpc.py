"""Handlers that speak gRPC with the server, by the channel and the port of their context."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import coded
import pytest

# The body is one call; the answer has what came of it, as JSON. The names of the types are those of the services.
CALL = """
import json
import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving import apis
from tensorflow_serving.apis import (
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2,
    model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc, regression_pb2,
)

MODULES = (
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2,
    predict_pb2, regression_pb2,
)

def message(name):
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))()

def handler(data, context):
    call = json.loads(data.read())
    channel = context.channel
    if call["method"] == "told":
        return json.dumps({"channel": channel, "port": type(context.grpc_port).__name__}), "application/json"
    if channel is None or call.get("by port"):
        channel = grpc.insecure_channel(f"localhost:{context.grpc_port}", options=[("grpc.enable_http_proxy", 0)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    if not hasattr(stub, call["method"]):
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = json_format.ParseDict(call["request"], message(call["message"]))
    for name, (dtype, values) in call.get("tensors", {}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    try:
        answer = getattr(stub, call["method"])(request, timeout=60)
    except grpc.RpcError as error:
        return json.dumps({"code": error.code().name, "details": error.details()}), "application/json"
    return json_format.MessageToJson(answer), "application/json"
"""


def example(**features: Any) -> dict[str, Any]:
    """A tf.Example as JSON; floats are floats, text is bytes."""
    made = {}
    for name, value in features.items():
        kind = "floatList" if isinstance(value, list) else "bytesList"
        made[name] = {kind: {"value": value if isinstance(value, list) else [value]}}
    return {"features": {"feature": made}}


def call(server: Any, method: str, message: str, request: Any, path: str = "/invocations", **more: Any) -> Any:
    """The answer to one gRPC request, or its status code and details."""
    body = json.dumps({"method": method, "message": message, "request": request, **more})
    reply = server.request("POST", path, body, {"Content-Type": "application/json"})
    assert reply.status == 200, reply.body
    return reply.json


def predict(server: Any, model: str, signature: str = "", outputs: tuple[str, ...] = (), **tensors: Any) -> Any:
    """The answer to a PredictRequest; a tensor is a dtype and its values."""
    request = {"modelSpec": {"name": model, "signatureName": signature}, "outputFilter": list(outputs)}
    return call(server, "Predict", "PredictRequest", request, tensors=tensors)


@pytest.fixture(scope="module")
def grpc_server(saved_models: Path, tmp_path_factory: pytest.TempPathFactory, start_module: Any) -> Any:
    """A server of several models whose handler makes gRPC requests to it."""
    base = tmp_path_factory.mktemp("grpc")
    shutil.copytree(saved_models / "several", base / "model")
    coded.write(base / "model" / "code", inference=CALL)
    return start_server(start_module, base).wait_until_listening()


def start_server(start: Any, base: Path, **environment: str) -> Any:
    """A server, in the environment of somebody who has a proxy that leads nowhere."""
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:9")
    return start(
        ["-m", "model_server"],
        SAGEMAKER_BASE_DIR=str(base),
        SAGEMAKER_BIND_TO_PORT="0",
        **proxy,
        **environment,
    )


@pytest.fixture
def server(grpc_server: Any) -> Any:
    """That server, when it is ready."""
    if not any(line.endswith("Ready") for line in grpc_server.lines):
        grpc_server.wait_for("Ready")
    return grpc_server


def test_predict(server: Any) -> None:
    """Outputs come in the fields of their types, with the model, its version and signature."""
    answer = predict(server, "half_plus", x=("float32", [1.0, 2.0]))
    assert answer == {
        "modelSpec": {"name": "half_plus", "version": "124", "signatureName": "serving_default"},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "2"}]}, "floatVal": [3.5, 4.0]}},
    }
    request = {"modelSpec": {"name": "half_plus", "version": "123"}}
    older = call(server, "Predict", "PredictRequest", request, tensors={"x": ("float32", 1.0)}, **{"by port": True})
    assert older["modelSpec"]["version"] == "123"
    assert older["outputs"]["y"] == {"dtype": "DT_FLOAT", "tensorShape": {}, "floatVal": [2.5]}


@pytest.mark.parametrize(
    ("signature", "name", "tensor", "output", "field", "values"),
    [
        ("strings", "text", ("string", ["ab"]), "upper", "stringVal", ["QUI="]),
        ("integers", "n", ("int32", [1, 2]), "next", "int64Val", ["2", "3"]),
        ("booleans", "b", ("bool", [True, False]), "not", "boolVal", [False, True]),
        ("half", "x", ("float16", [1.0, 2.0]), "y", "halfVal", [16384, 17408]),
        ("packed", "x", ("float32", 0.0), "bytes", "stringVal", ["CAESACIEAAAAAA=="]),
        ("serving_default", "x", ("float32", [[1.0] * 4]), "y", "floatVal", [2.0] * 4),
    ],
)
def test_kinds(server: Any, signature: str, name: str, tensor: Any, output: str, field: str, values: Any) -> None:
    """Strings, integers, booleans and floats, in and out."""
    answer = predict(server, "kinds", signature, **{name: tensor})
    assert answer["outputs"][output][field] == values


def test_the_output_filter(server: Any) -> None:
    """Only the outputs that were asked for."""
    inputs = {"tag": ("string", ["a"]), "signal": ("float32", [[1.0, 2.0]])}
    assert set(predict(server, "kinds", "two", **inputs)["outputs"]) == {"label", "total"}
    assert set(predict(server, "kinds", "two", ("total",), **inputs)["outputs"]) == {"total"}


@pytest.mark.parametrize(
    ("arguments", "tensors", "code", "words"),
    [
        (("none",), {}, "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (("",), {}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (("kinds", "no"), {}, "INVALID_ARGUMENT", 'Serving signature key "no" not found.'),
        (("kinds",), {}, "INVALID_ARGUMENT", "input size does not match signature: 0!=1 len({}) != len({x})."),
        (
            ("kinds",),
            {"z": ("float32", [1.0])},
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
        ),
        (("kinds",), {"x": ("float64", [[1.0] * 4])}, "INVALID_ARGUMENT", "to be float32 but float64 is provided"),
        (
            ("kinds", "", ("z",)),
            {"x": ("float32", [[1.0] * 4])},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        (
            ("kinds", "", ("y", "y")),
            {"x": ("float32", [[1.0] * 4])},
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
        (("kinds", "asserts"), {"x": ("float32", [-1.0])}, "INVALID_ARGUMENT", "only positive values, please"),
        (
            ("kinds", ""),
            {f"a name of some length {n}": ("float32", 1.0) for n in range(900)},
            "INVALID_ARGUMENT",
            "...TRUNCATED",
        ),
    ],
)
def test_what_is_wrong(server: Any, arguments: Any, tensors: Any, code: str, words: str) -> None:
    """The status and words of TensorFlow Serving."""
    answer = predict(server, *arguments, **tensors)
    assert answer.keys() == {"code", "details"}
    assert answer["code"] == code
    assert words in answer["details"]


def test_classify_and_regress(server: Any) -> None:
    """Examples, with a context and without, as over HTTP."""
    spec = {"name": "tagged"}
    first, second = example(x=[1.0, 2.0]), example(x=[3.0, 4.0], tag="eQ==")
    classes = call(
        server,
        "Classify",
        "ClassificationRequest",
        {
            "modelSpec": spec,
            "input": {"exampleListWithContext": {"examples": [first, second], "context": example(tag="eA==")}},
        },
    )
    assert classes["result"]["classifications"] == [
        {"classes": [{"label": "x", "score": 1.0}, {"label": "x!", "score": 2.0}]},
        {"classes": [{"label": "y", "score": 3.0}, {"label": "y!", "score": 4.0}]},
    ]
    assert classes["modelSpec"] == {"name": "tagged", "version": "1", "signatureName": "serving_default"}
    request = {"modelSpec": {**spec, "signatureName": "value"}, "input": {"exampleList": {"examples": [first, second]}}}
    values = call(server, "Regress", "RegressionRequest", request)
    assert values["result"]["regressions"] == [{"value": 3.0}, {"value": 7.0}]
    for method, message in (("Classify", "ClassificationRequest"), ("Regress", "RegressionRequest")):
        assert call(server, method, message, {"modelSpec": spec})["details"] == "Input is empty"


def test_metadata_and_status(server: Any) -> None:
    """What TensorFlow Serving tells of its models."""
    request = {"modelSpec": {"name": "half_plus"}, "metadataField": ["signature_def"]}
    answer = call(server, "GetModelMetadata", "GetModelMetadataRequest", request)
    assert answer["modelSpec"] == {"name": "half_plus", "version": "124"}
    definitions = answer["metadata"]["signature_def"]["signatureDef"]
    assert definitions["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    for fields, words in (([], "must specify at least one metadata_field"), (["x"], "Metadata field x is not")):
        refused = call(server, "GetModelMetadata", "GetModelMetadataRequest", {**request, "metadataField": fields})
        assert (refused["code"], words in refused["details"]) == ("INVALID_ARGUMENT", True)
    status = call(server, "GetModelStatus", "GetModelStatusRequest", {"modelSpec": {"name": "half_plus"}})
    assert [(each["version"], each["state"]) for each in status["model_version_status"]] == [
        ("124", "AVAILABLE"),
        ("123", "AVAILABLE"),
    ]


@pytest.mark.parametrize(
    ("method", "message"),
    [("MultiInference", "MultiInferenceRequest"), ("HandleReloadConfigRequest", "ReloadConfigRequest")],
)
def test_what_is_not_here(server: Any, method: str, message: str) -> None:
    """Is refused by name."""
    answer = call(server, method, message, {})
    assert answer["code"] == "UNIMPLEMENTED"
    assert answer["details"].startswith(f"{method} is not here")


def test_a_large_tensor(server: Any) -> None:
    """Requests have no limit of size; the answer may be larger than the 4 MB that a channel takes by default."""
    values = [[float(n % 7)] * 4 for n in range(300_000)]
    answer = predict(server, "kinds", x=("float32", values))
    assert answer["code"] == "RESOURCE_EXHAUSTED"
    assert "larger than max" in answer["details"]


def test_multi_model_mode(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """A model's own handlers reach it under the name that SageMaker gave it, on a port of the range that is safe."""
    model = tmp_path / "models" / "hash"
    shutil.copytree(saved_models / "several" / "half_plus", model)
    coded.write(model / "code", inference=CALL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        low = taken.getsockname()[1]
        ports = f"{low}-{min(low + 50, 65535)}"
        server = start_server(start, tmp_path, SAGEMAKER_MULTI_MODEL="true", SAGEMAKER_SAFE_PORT_RANGE=ports)
        server.wait_until_listening().wait_for("Ready")
        loaded = server.request("POST", "/models", json.dumps({"model_name": "abc", "url": str(model)}))
        assert loaded.status == 200
        request = {"modelSpec": {"name": "abc"}}
        tensors = {"x": ("float32", [1.0])}
        assert call(server, "told", "", {}, "/models/abc/invoke") == {"channel": None, "port": "int"}
        answer = call(server, "Predict", "PredictRequest", request, "/models/abc/invoke", tensors=tensors)
        assert answer["outputs"]["y"]["floatVal"] == [3.5]
        port = int(server.wait_for("gRPC, for handlers, is listening on").rpartition(":")[2])
        assert low < port <= low + 50
    other = call(server, "Predict", "PredictRequest", {"modelSpec": {"name": "x"}}, "/models/abc/invoke")
    assert (other["code"], "Model x is not loaded" in other["details"]) == ("NOT_FOUND", True)


def test_no_port_is_free(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """The server ends, and says which variable gave it the ports."""
    shutil.copytree(saved_models / "several" / "half_plus", tmp_path / "model" / "half_plus")
    coded.write(tmp_path / "model" / "code", inference=CALL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = start_server(start, tmp_path, SAGEMAKER_SAFE_PORT_RANGE=f"{port}-{port}").end()
    assert status == 1
    last = output.splitlines()[-1]
    assert last.startswith(f"model_server: error: gRPC cannot listen on any port from {port} to {port} of 127")
