"""The whole server over a socket, with real SavedModels."""

import base64
import json
import math
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest


def kinds(signature: str, **request: Any) -> tuple[dict[str, Any], str, str]:
    """Arguments of `invoke` for a signature of the model `kinds`."""
    return {"signature_name": signature, **request}, "application/json", "tfs-model-name=kinds"


def test_ping_is_200_with_a_loaded_model(several: Any) -> None:
    """GET /ping says that the default model is there, in an empty body."""
    reply = several.request("GET", "/ping")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    ("body", "predictions"),
    [
        ('{"instances": [1.0, 2.0, 5.0]}', [3.5, 4.0, 5.5]),
        ('{"instances": [[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]}', [[3.5, 4.0, 5.5]] * 2),
        ('{"instances": [{"x": [1, 2]}, {"x": [5, 1]}]}', [[3.5, 4.0], [5.5, 3.5]]),
        ("[1.0, 2.0, 5.0]", [[3.5, 4.0, 5.5]]),
        ("[[1.0, 2.0], [5.0, 1.0]]", [[3.5, 4.0], [5.5, 3.5]]),
        ("[1.0, 2.0]\n[5.0, 1.0]\n", [[3.5, 4.0], [5.5, 3.5]]),
        ('{"x": [1.0, 2.0]}\n\n{"x": [5.0, 1.0]}', [[3.5, 4.0], [5.5, 3.5]]),
        ('{"x": 5}', [5.5]),
        ("5", [5.5]),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines", "application/jsons"])
def test_json_bodies(several: Any, content_type: str, body: str, predictions: list[Any]) -> None:
    """The three JSON types share one rule: requests as they are, values one after the other, anything else wrapped."""
    reply = several.invoke(body, content_type)
    assert (reply.status, reply.json) == (200, {"predictions": predictions})


@pytest.mark.parametrize(
    ("body", "predictions"),
    [
        ("1.0", [3.5]),
        ("1.0\n2.0\r\n5.0\n", [3.5, 4.0, 5.5]),
        ("1.0,2.0,5.0", [[3.5, 4.0, 5.5]]),
        ("0,2\n5,.0", [[3.0, 4.0], [5.5, 3.0]]),
    ],
)
def test_csv_bodies(several: Any, body: str, predictions: list[Any]) -> None:
    """A line of CSV is an instance, a list when it has a comma."""
    reply = several.invoke(body, "text/csv")
    assert (reply.status, reply.json) == (200, {"predictions": predictions})


def test_column_format(several: Any) -> None:
    """A request with `inputs` is answered with `outputs`."""
    assert several.invoke({"inputs": [[1.0], [2.0]]}).json == {"outputs": [[3.5], [4.0]]}
    assert several.invoke({"inputs": {"x": 5.0}}).json == {"outputs": 5.5}


@pytest.mark.parametrize(
    ("attributes", "prediction"),
    [
        (None, 3.5),
        ("tfs-model-name=half_plus", 3.5),
        ("tfs-model-version=123", 2.5),
        ("trace=7,tfs-model-name=half_plus,tfs-model-version=123,tfs-method=predict", 2.5),
        ("tfs-model-version=124,other", 3.5),
    ],
)
def test_custom_attributes_choose_model_and_version(several: Any, attributes: str | None, prediction: float) -> None:
    """What the header does not name takes the default: the first model, its highest version."""
    assert several.invoke({"instances": [1.0]}, attributes=attributes).json == {"predictions": [prediction]}


@pytest.mark.parametrize(
    ("attributes", "status", "words"),
    [
        ("tfs-model-name=nope", 404, "Servable not found for request: Latest(nope)"),
        ("tfs-model-version=7", 404, "Servable not found for request: Specific(half_plus, 7)"),
        ("tfs-model-version=seven", 400, "version: seven"),
        ("tfs-model-version=99999999999999999999", 400, "version: 99999999999999999999"),
        ("tfs-method=guess", 400, "tfs-method=guess"),
        ("tfs-method=regress", 400, "key 'examples' is expected"),
    ],
)
def test_a_choice_that_does_not_exist(several: Any, attributes: str, status: int, words: str) -> None:
    """Unknown model or version is 404; a choice that makes no sense, or not for this body, 400."""
    reply = several.invoke({"instances": [1.0]}, attributes=attributes)
    assert reply.status == status
    assert words in reply.error


def test_several_outputs_are_objects(single: Any) -> None:
    """The K-means answer: integers stay integers, floats keep their point, a row an object."""
    reply = single.invoke([[9, 9, 9, 9], [1, 0, 0, 0.5]])
    assert b'"cluster_index":1,' in reply.body
    assert reply.json == {
        "predictions": [
            {"cluster_index": 1, "distances": [324.0, 4.0, 194.0]},
            {"cluster_index": 0, "distances": [1.25, 371.25, 41.25]},
        ]
    }
    columns = single.invoke({"inputs": [[9, 9, 9, 9]]}).json
    assert columns == {"outputs": {"cluster_index": [1], "distances": [[324.0, 4.0, 194.0]]}}


@pytest.mark.parametrize("body", ["[1, 2, 3]", '{"instances": [[1, 2, 3]]}', "[[1,2,3,4],[1,2,3]]"])
def test_a_vector_of_the_wrong_length_is_explained(single: Any, body: str) -> None:
    """The message names the instance, the length it has and the length the model takes."""
    reply = single.invoke(body)
    element = 1 if body.startswith("[[") else 0
    assert reply.status == 400
    assert reply.error == (
        f"Failed to process element: {element} of 'instances' list. Error: got a list of 3 values, "
        "expected 4 for the input 'ratings' (float32, shape [None, 4])"
    )


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (kinds("strings", instances=["grün", "b"]), {"predictions": ["GRüN", "B"]}),
        (
            kinds("binary", instances=[{"b64": "/w=="}, "a"]),
            {
                "predictions": [
                    {"raw": {"b64": "/w=="}, "raw_bytes": {"b64": "/w=="}},
                    {"raw": "a", "raw_bytes": {"b64": base64.b64encode(b"a").decode()}},
                ]
            },
        ),
        (kinds("integers", instances=[2**31 - 1, -5]), {"predictions": [2**31, -4]}),
        (kinds("booleans", instances=[True, False]), {"predictions": [False, True]}),
        (
            kinds("two", instances=[{"tag": "a", "signal": [1, 2]}, {"signal": [3, 4], "tag": "b"}]),
            {"predictions": [{"label": "a!", "total": 3.0}, {"label": "b!", "total": 7.0}]},
        ),
        (
            kinds("two", inputs={"tag": ["a"], "signal": [[1, 2]]}),
            {"outputs": {"label": ["a!"], "total": [3.0]}},
        ),
        (kinds("scalar", inputs=[1, 2]), {"outputs": 3.0}),
        (kinds("packed", inputs=0), {"outputs": '\b\x01\x12\x00"\x04\x00\x00\x00\x00'}),
        (kinds("logarithm", instances=[0]), {"predictions": [-math.inf]}),
    ],
)
def test_kinds_of_inputs_and_outputs(several: Any, request_: tuple[Any, ...], answer: Any) -> None:
    """Strings, bytes, integers, booleans, several inputs, scalars and infinities."""
    reply = several.invoke(*request_)
    assert (reply.status, reply.json) == (200, answer)


def test_a_model_of_tensorflow_1(several: Any) -> None:
    """A graph without functions, with a table that has to be initialised; its sparse signature is left out, aloud."""
    assert several.invoke('"a"\n"c"', attributes="tfs-model-name=old").json == {"predictions": [11, 9]}
    sparse = several.invoke({"signature_name": "sparse", "instances": [1]}, attributes="tfs-model-name=old")
    assert (sparse.status, sparse.error) == (
        400,
        'Serving signature name: "sparse" not found in signature def (the model has: serving_default)',
    )
    assert [line for line in several.lines if "signature sparse is left out" in line]


def test_nan_goes_in_and_comes_out(several: Any) -> None:
    """TensorFlow Serving reads and writes NaN as a bare token."""
    body = b'{"signature_name": "logarithm", "instances": [NaN, -1, Infinity, 1]}'
    reply = several.invoke(body, attributes="tfs-model-name=kinds")
    assert reply.body == b'{"predictions":[NaN,NaN,Infinity,0.0]}'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"whatever", "line 1 column 1"),
        (b'{"instances": [1.0, ]}', "line 1 column"),
        (b'{"instances": [1.0]', "line 1 column"),
        (b'{"instances": ["\xff"]}', "UTF-8 at byte 16"),
        (b'{"instances": [1]} {"instances": [2]}', "2 JSON values"),
        (b'[{"instances": [1]}]', "a list of 1 value"),
        (b'{"examples": [{"x": 1}]}', "Missing 'inputs' or 'instances' key"),
        (b'{"instances": []}', "No values in 'instances'"),
        (b'{"instances": "invalid"}', "to be a list"),
        (b'{"instances": [1], "inputs": [1]}', "only one of"),
        (b'{"instances": [[1, 2], [3]]}', "element: 1 of 'instances' list"),
        (b'{"instances": [[1, 2], [3, "four"]]}', "element: 1 of 'instances' list. Error: at [1]: \"four\""),
        (b'{"instances": [true]}', "true is not a number"),
        (b'{"instances": [null]}', "null is not a number"),
        (b'{"instances": [16777217]}', "without loss of precision"),
        (b'{"instances": [1e39]}', "too large"),
        (b'{"instances": [1e999]}', "too big"),
        (b'{"junk": "data"}', "element: 0 key: junk of 'instances' list"),
        (b'{"instances": [{"x": 1}, 2]}', "Expecting object but got 2 at item 1"),
        (b'{"instances": [2, {"x": 1}]}', "got object at item 1"),
        (b'{"inputs": {"z": 1}}', "Unknown named input: z"),
        (b'{"inputs": {}}', "Missing named input: x"),
        (b'{"instances": [1], "signature_name": "other"}', '"other" not found in signature def'),
        (b'{"instances": [1], "signature_name": 5}', "must be a string"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_json_is_400_and_says_why(several: Any, body: bytes, words: str) -> None:
    """Every kind of bad JSON gets a reason with a place, and the server lives on."""
    reply = several.invoke(body)
    assert reply.status == 400
    assert words in reply.error
    assert reply.headers["Content-Type"] == "application/json"
    assert several.invoke("[1]").status == 200


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (kinds("integers", instances=[2**31]), "2147483648 is not between -2147483648 and 2147483647"),
        (kinds("integers", instances=[2**70]), "is not an integer"),
        (kinds("integers", instances=[1.0]), "1.0 is not an integer"),
        (kinds("strings", instances=[1]), "1 is not a string"),
        (kinds("strings", instances=[{"b64": "%"}]), "base64"),
        (kinds("two", instances=["a"]), "several inputs: signal, tag"),
        (kinds("two", instances=[{"tag": "a"}]), "key: signal of 'instances' list. Error: the key is missing"),
        (kinds("two", inputs={"tag": ["a"]}), "Missing named input: signal"),
        (kinds("scalar", instances=[1]), "total has no shape information"),
        (kinds("asserts", instances=[-1]), "only positive values, please"),
    ],
)
def test_what_does_not_fit_the_signature_is_400(several: Any, request_: tuple[Any, ...], words: str) -> None:
    """Values of a wrong type or range, keys, and what the model itself refuses."""
    reply = several.invoke(*request_)
    assert reply.status == 400
    assert words in reply.error
    assert "\n" not in reply.error


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-npy", "application/json; charset=utf-8"])
def test_other_content_types_are_415(several: Any, content_type: str) -> None:
    """As in AWS's container the whole header has to be one of the types."""
    reply = several.invoke("[1]", content_type)
    assert (reply.status, reply.error) == (415, f"Unsupported Media Type: {content_type}")


def test_a_missing_content_type_is_415(several: Any) -> None:
    """Without the header the type is called Unknown."""
    reply = several.request("POST", "/invocations", "[1]")
    assert (reply.status, reply.error) == (415, "Unsupported Media Type: Unknown")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "application/json"),
        ("application/jsonlines", "application/jsonlines"),
        ("application/json, application/jsonlines", "application/json"),
        ("application/jsonlines, application/json", "application/jsonlines"),
        ("text/plain, application/json", "text/plain"),
    ],
)
def test_accept_names_the_answers_type(several: Any, accept: str | None, content_type: str) -> None:
    """An Accept with JSON or jsonlines in it: its first type, and no newline in the body."""
    reply = several.invoke("[1]", accept=accept)
    assert reply.headers["Content-Type"] == content_type
    assert reply.body == b'{"predictions":[[3.5]]}'


@pytest.mark.parametrize("path", ["/", "/pong", "/invocations/more", "/models", "/v1/models/half_plus:guess"])
def test_other_routes_are_404(several: Any, path: str) -> None:
    """What is no route is not found, in the container's words."""
    reply = several.request("GET", path)
    assert (reply.status, reply.json) == (404, {"error": "Not Found"})


def test_a_wrong_method_is_405(several: Any) -> None:
    """A known route with another method says which one it takes."""
    reply = several.request("GET", "/invocations")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.error == "Method Not Allowed"
    assert several.request("POST", "/ping", "").status == 405


def test_tensorflow_servings_own_routes(several: Any) -> None:
    """Status, metadata and predict under /v1/models."""
    status = several.request("GET", "/v1/models/half_plus").json["model_version_status"]
    assert [(version["version"], version["state"]) for version in status] == [
        ("124", "AVAILABLE"),
        ("123", "AVAILABLE"),
    ]
    one = several.request("GET", "/v1/models/half_plus/versions/123").json["model_version_status"]
    assert [version["version"] for version in one] == ["123"]
    metadata = several.request("GET", "/v1/models/kinds/metadata").json
    assert metadata["model_spec"] == {"name": "kinds", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["two"]["inputs"]["signal"]["dtype"] == "DT_FLOAT"
    assert signatures["two"]["inputs"]["signal"]["tensor_shape"]["dim"][1]["size"] == "2"
    latest = several.request("POST", "/v1/models/half_plus:predict", '{"instances": [1.0]}')
    assert latest.json == {"predictions": [3.5]}
    version = several.request("POST", "/v1/models/half_plus/versions/123:predict", '{"instances": [1.0]}')
    assert version.json == {"predictions": [2.5]}


def test_tensorflow_servings_own_errors(several: Any) -> None:
    """Unknown models, versions and bodies that are no request, in TensorFlow Serving's words."""
    unknown = several.request("GET", "/v1/models/nope")
    assert (unknown.status, unknown.error) == (404, "Could not find any versions of model nope")
    version = several.request("GET", "/v1/models/half_plus/versions/9")
    assert (version.status, version.error) == (404, "Could not find version 9 of model half_plus")
    assert several.request("GET", "/v1/models/half_plus/versions/" + "9" * 5000).status == 400
    predict = several.request("POST", "/v1/models/nope:predict", '{"instances": [1]}')
    assert "Servable not found for request: Latest(nope)" in predict.error
    assert several.request("POST", "/v1/models/half_plus:predict", "[1]").status == 400
    assert several.request("POST", "/v1/models/half_plus:classify", "{}").status == 400


def test_predictions_from_many_threads_do_not_mix(single: Any) -> None:
    """Each of 200 requests at eight at a time gets the answer to its own vector."""

    def ask(number: int) -> tuple[Any, float]:
        first = single.invoke([number, 0, 0, 0]).json["predictions"][0]["distances"][0]
        return first, float(number * number)

    with ThreadPoolExecutor(8) as pool:
        assert all(answered == expected for answered, expected in pool.map(ask, range(200)))


def test_a_body_of_megabytes(several: Any) -> None:
    """A body that is kept in a file arrives whole."""
    rows = [[float(row)] * 1000 for row in range(300)]
    reply = several.invoke({"instances": rows})
    assert reply.json["predictions"][299] == [152.5] * 1000


def test_the_log_has_a_line_for_a_request_and_none_for_pings(single: Any) -> None:
    """Method, path, status and model are logged; a path cannot forge a line."""
    single.request("GET", "/ping")
    single.request("GET", "/%0AFAKE")
    body = "[1, 2, 3, 4]" + " " * 999  # of a size that no other test sends
    single.invoke(body)
    line = single.wait_for(f'"POST /invocations" 200 {len(body)} B in')
    assert line.endswith("model/1")
    assert not [line for line in single.lines if "/ping" in line]
    assert [line for line in single.lines if '"GET /\\nFAKE" 404' in line]
    assert [line for line in single.lines if "without meaning" in line and "SAGEMAKER_GUNICORN_WORKERS" in line]


def test_nothing_but_the_servers_own_lines_is_logged(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """TensorFlow's notes on CPU instructions, GPUs and deprecations stay out, and SIGTERM ends it with status 0."""
    (tmp_path / "model").symlink_to(saved_models / "several")
    server = start(
        ["-m", "model_server"],
        SAGEMAKER_BASE_DIR=str(tmp_path),
        SAGEMAKER_BIND_TO_PORT="0",
        SAGEMAKER_TFS_DEFAULT_MODEL_NAME="kinds",
        SAGEMAKER_TFS_INTRA_OP_PARALLELISM="1",
    )
    server.wait_until_listening()
    server.wait_for("Ready")
    assert server.invoke([1, 2, 3, 4]).json == {"predictions": [[2.0, 4.0, 6.0, 8.0]]}
    server.process.send_signal(signal.SIGTERM)
    status, output = server.end()
    assert status == 0
    foreign = [line for line in output.splitlines() if " INFO " not in line]
    assert [line for line in foreign if "signature sparse is left out" not in line] == []


def test_a_damaged_model_ends_the_server(start: Any, tmp_path: Path) -> None:
    """A SavedModel that does not load is a reason on stderr and a failed exit, not an endless 502."""
    version = tmp_path / "model" / "broken" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"not a protocol buffer")
    server = start(["-m", "model_server"], SAGEMAKER_BASE_DIR=str(tmp_path), SAGEMAKER_BIND_TO_PORT="0")
    status, output = server.end()
    assert status == 1
    assert f"model_server: error: Cannot load the SavedModel in {version}" in output


@pytest.mark.parametrize(
    ("files", "environment", "words"),
    [
        ([], {}, "does not exist"),
        (["export/saved_model.pb", "notes.txt"], {}, "Found: export/saved_model.pb, notes.txt"),
        (["1/saved_model.pb"], {"SAGEMAKER_MULTI_MODEL": "yes"}, "SAGEMAKER_MULTI_MODEL must be"),
        (["1/saved_model.pb"], {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "x"}, "there are: model"),
        (["1/saved_model.pb"], {"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT='http'"),
    ],
)
def test_a_start_that_cannot_work_ends_at_once(
    start: Any, tmp_path: Path, files: list[str], environment: dict[str, str], words: str
) -> None:
    """The reason is on stderr, the exit status is 1, and no traceback hides it."""
    for name in files:
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    server = start(["-m", "model_server"], SAGEMAKER_BASE_DIR=str(tmp_path), **environment)
    status, output = server.end()
    assert status == 1
    assert words in output.splitlines()[-1]
    assert "Traceback" not in output


def test_a_port_in_use_is_named(start: Any, several: Any, saved_models: Path, tmp_path: Path) -> None:
    """Two servers on one port: the second one says so and ends."""
    (tmp_path / "model").symlink_to(saved_models / "single")
    server = start(["-m", "model_server"], SAGEMAKER_BASE_DIR=str(tmp_path), SAGEMAKER_BIND_TO_PORT=str(several.port))
    status, output = server.end()
    assert status == 1
    assert f"Cannot listen on 127.0.0.1:{several.port}" in output


def test_json_that_the_answer_holds_is_valid(several: Any) -> None:
    """Quotes and control characters in error messages do not break the answer."""
    reply = several.invoke(json.dumps({'a"\n\\': 1}))
    assert reply.status == 400
    assert 'key: a"\n\\ of' in reply.error
