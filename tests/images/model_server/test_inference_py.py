"""Models that bring code: handlers, packages and modules, in a real server."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import coded
import pytest

LABELS = {"results": [[["none", 1.0], ["none!", 2.0]]]}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def model_dir(base: Path, saved_models: Path) -> Path:
    """A model folder with half_plus (two versions) and tagged; returns the place of its code."""
    for name in ("half_plus", "tagged"):
        shutil.copytree(saved_models / "several" / name, base / "model" / name)
    return base / "model" / "code"


def serve(start: Any, base: Path, **environment: str) -> Any:
    """A server of that base, which may not be listening yet."""
    return start(["-m", "model_server"], SAGEMAKER_BASE_DIR=str(base), SAGEMAKER_BIND_TO_PORT="0", **environment)


@pytest.fixture(scope="module")
def handled(saved_models: Path, tmp_path_factory: pytest.TempPathFactory, start_module: Any) -> Any:
    """A server whose one handler does what it is told."""
    base = tmp_path_factory.mktemp("handled")
    coded.write(model_dir(base, saved_models), inference=coded.ANY)
    server = serve(start_module, base).wait_until_listening()
    assert server.request("GET", "/ping").status == 502
    server.wait_for("Ready")
    return server


def test_the_context(handled: Any) -> None:
    """What the handler is told of a request, whatever its type; and its answer's type is its own."""
    assert handled.request("GET", "/ping").status == 200
    attributes = "echo,tfs-model-name=tagged,tfs-model-version=1,tfs-method=regress"
    reply = handled.invoke("a,b", "text/x", attributes, "application/json, text/y")
    assert reply.headers["Content-Type"] == "text/x-echo; charset=utf-8"
    data, context = reply.json
    assert data == "a,b"
    assert 0 < int(context.pop("grpc_port")) < 65536
    assert context == {
        "model_name": "tagged",
        "model_version": "1",
        "method": "regress",
        "rest_uri": f"http://127.0.0.1:{handled.port}/v1/models/tagged/versions/1:regress",
        "channel": "Channel",
        "custom_attributes": attributes,
        "request_content_type": "text/x",
        "accept_header": "application/json, text/y",
        "content_length": 3,
    }


@pytest.mark.parametrize(
    ("attributes", "request_", "answer"),
    [
        ("post", {"instances": [1.0]}, {"predictions": [3.5]}),
        ("post,tfs-model-version=123", {"inputs": [1.0]}, {"outputs": [2.5]}),
        ("post,tfs-model-name=tagged,tfs-method=classify", {"examples": [{"x": [1.0, 2.0]}]}, LABELS),
    ],
)
def test_a_handler_asks_the_model(handled: Any, attributes: str, request_: Any, answer: Any) -> None:
    """As AWS's examples do it: requests.post(context.rest_uri, data=…), here to this very server."""
    reply = handled.invoke(request_, attributes=attributes)
    assert reply.status == 200
    assert reply.json == answer


def test_many_handlers_ask_at_once(handled: Any) -> None:
    """Requests to itself cannot starve: each of 64 that are under way at once is answered."""
    with ThreadPoolExecutor(64) as pool:
        answers = pool.map(lambda n: handled.invoke({"instances": [float(n)]}, attributes="post").json, range(64))
        assert list(answers) == [{"predictions": [n / 2 + 3]} for n in range(64)]


def test_an_exception_is_500(handled: Any) -> None:
    """With its text, and its traceback in the log; the server lives on."""
    reply = handled.invoke("x", attributes="fail")
    assert (reply.status, reply.json) == (500, {"error": "told to\nfail"})
    handled.wait_for("RuntimeError: told to")
    assert handled.invoke({"instances": [1.0]}, attributes="post").status == 200


def test_a_stop_lets_a_handler_ask_the_model(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """A handler that is under way when SIGTERM comes has its request answered, and so has its client."""
    coded.write(model_dir(tmp_path, saved_models), inference=coded.ANY)
    server = serve(start, tmp_path).wait_until_listening()
    server.wait_for("Ready")
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(server.invoke, {"instances": [1.0]}, attributes="wait")
        server.wait_for("Waiting")
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("Stopping")
        assert server.request("GET", "/ping").status == 503
        server.write("go")
        assert reply.result(60).json == {"predictions": [3.5]}
    assert server.end()[0] == 0


def test_a_pair_with_requirements(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """AWS's README: CSV in by input_handler, the response checked by output_handler; with a package of the model's own.

    It is installed beside the image's environment, which stays as it was, and is gone with the server.
    """
    folder = tmp_path / "wheels"
    folder.mkdir()
    package = coded.wheel(folder, "lines", "1.0", coded.LINES)
    code = coded.write(model_dir(tmp_path, saved_models), inference=coded.PAIR)
    (code / "requirements.txt").write_text(f"numpy\nlines @ {package.as_uri()}\n")
    before = freeze()
    (tmp_path / "tmp").mkdir()
    server = serve(start, tmp_path, TMPDIR=str(tmp_path / "tmp"), PIP_NO_INDEX="1").wait_until_listening()
    server.wait_for("Ready")
    reply = server.invoke("1.0,2.0\n4,6", "text/csv", accept="text/x")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/x")
    assert reply.json == {"predictions": [[3.5, 4.0], [5.0, 6.0]]}
    refused = server.invoke("[1]", "application/json")
    assert (refused.status, refused.error) == (500, "Unsupported content type application/json")
    wrong = server.invoke("1,2\n3", "text/csv")
    assert wrong.status == 500
    assert "element: 1 of 'instances' list" in wrong.error
    assert [line for line in server.lines if "Requirement already satisfied: numpy" in line]
    assert freeze() == before
    server.process.send_signal(signal.SIGTERM)
    assert server.end()[0] == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def freeze() -> str:
    """What is installed in this environment, which is the server's too."""
    command = [sys.executable, "-m", "pip", "freeze", "--all"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_lib_is_on_the_path_and_requirements_are_not_installed(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """Where there is a code/lib, it is all; that is said, once."""
    code = coded.write(model_dir(tmp_path, saved_models), inference=coded.PAIR, lib_lines=coded.LINES)
    (code / "requirements.txt").write_text("no-such-package-anywhere==1\n")
    server = serve(start, tmp_path).wait_until_listening()
    server.wait_for("Ready")
    assert server.invoke("1", "text/csv").json == {"predictions": [[3.5]]}
    assert len([line for line in server.lines if "ignoring requirements.txt" in line]) == 1


def test_requirements_that_cannot_be_installed(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """The server ends with pip's own reason, before it loads any model."""
    code = coded.write(model_dir(tmp_path, saved_models), inference=coded.PAIR)
    (code / "requirements.txt").write_text("no-such-package-anywhere==1\n")
    status, output = serve(start, tmp_path, PIP_NO_INDEX="1").end()
    last = output.splitlines()[-1]
    assert status == 1
    assert last.startswith(f"model_server: error: {code / 'requirements.txt'} could not be installed: pip ended with")
    assert "No matching distribution found for no-such-package-anywhere==1" in last
    assert "bring the packages in code/lib" in last
    assert "Loaded model" not in output


def test_another_version_than_the_servers_is_said(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """What asks for another version of a package that the server has gets it beside that, and a line in the log."""
    package = coded.wheel(tmp_path, "orjson", "0.0.1", "mark = 'mine'\n")
    text = "import orjson\n\ndef handler(data, context): return getattr(orjson, 'mark', 'theirs'), 'text/plain'\n"
    code = coded.write(model_dir(tmp_path, saved_models), inference=text)
    (code / "requirements.txt").write_text(f"orjson @ {package.as_uri()}\n")
    server = serve(start, tmp_path, PIP_NO_INDEX="1").wait_until_listening()
    server.wait_for("asks for other versions than the server's own: orjson 0.0.1 (the server's: 3")
    server.wait_for("Ready")
    assert server.invoke("x", "text/plain").body == b"theirs"


def test_one_handler_of_the_pair_ends_the_server(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """It is an error at the start, and not at the first request."""
    code = coded.write(model_dir(tmp_path, saved_models), inference="def input_handler(data, context): ...\n")
    status, output = serve(start, tmp_path).end()
    assert status == 1
    assert output.splitlines()[-1].startswith(
        f"model_server: error: {code / 'inference.py'}: has input_handler only; define"
    )


@pytest.fixture(scope="module")
def multi_model(saved_models: Path, tmp_path_factory: pytest.TempPathFactory, start_module: Any) -> Any:
    """A multi-model server with universal code; model `own` brings its own, `plain` none, each with both versions."""
    base = tmp_path_factory.mktemp("universal")
    coded.write(base / "code", inference=coded.ANY)
    for name in ("own", "plain", "lone"):
        shutil.copytree(saved_models / "several" / "half_plus", base / "models" / name / "model")
    coded.write(base / "models/own/model/code", inference=coded.PAIR, lib_lines=coded.LINES)
    lone = coded.write(base / "models/lone/model/code", inference="def output_handler(response, context): ...\n")
    (lone / "requirements.txt").write_text("no-such-package-anywhere==1\n")
    server = serve(start_module, base, SAGEMAKER_MULTI_MODEL="true", MODEL_SERVER_NPY="true").wait_until_listening()
    server.wait_for("MODEL_SERVER_NPY has no meaning for what inference.py answers")
    server.wait_for("Ready")
    for name, status in (("own", 200), ("plain", 200), ("lone", 500)):
        body = json.dumps({"model_name": name, "url": str(base / "models" / name / "model")})
        reply = server.request("POST", "/models", body)
        assert reply.status == status, reply.body
        assert name != "lone" or "has output_handler only" in reply.error
    server.wait_for("lone/model/code/requirements.txt is not installed in multi-model mode, on AWS neither")
    return server


def test_a_models_own_handlers_win(multi_model: Any) -> None:
    """`own` is answered by its pair, with its lib; `plain` by the universal handler, which knows its name."""
    own = multi_model.request("POST", "/models/own/invoke", "1.0", {"Content-Type": "text/csv"})
    assert own.json == {"predictions": [[3.5]]}
    echo = multi_model.request("POST", "/models/plain/invoke", "x", {ATTRIBUTES: "echo,tfs-model-version=123"})
    _, context = echo.json
    assert (context["model_name"], context["model_version"]) == ("plain", "123")
    assert context["rest_uri"] == f"http://127.0.0.1:{multi_model.port}/v1/models/plain/versions/123:predict"
    post = multi_model.request("POST", "/models/plain/invoke", '{"instances": [1.0]}', {ATTRIBUTES: "post"})
    assert post.json == {"predictions": [3.5]}


def test_tensorflow_servings_routes_in_multi_model_mode(multi_model: Any) -> None:
    """The name is the one that the model was loaded under; both versions are there, and what is not is 404."""
    status = multi_model.request("GET", "/v1/models/own").json["model_version_status"]
    assert [(version["version"], version["state"]) for version in status] == [
        ("124", "AVAILABLE"),
        ("123", "AVAILABLE"),
    ]
    predict = multi_model.request("POST", "/v1/models/own/versions/123:predict", '{"instances": [1.0]}')
    assert predict.json == {"predictions": [2.5]}
    metadata = multi_model.request("GET", "/v1/models/plain/metadata").json
    assert metadata["model_spec"] == {"name": "plain", "signature_name": "", "version": "124"}
    assert multi_model.request("GET", "/v1/models/none").status == 404
    version = multi_model.request("POST", "/v1/models/own/versions/7:predict", '{"instances": [1.0]}')
    assert (version.status, version.error) == (
        404,
        "Servable not found for request: Specific(own, 7) (there are: own 123/124)",
    )


def test_the_list_has_pages(multi_model: Any) -> None:
    """`limit` and `next_page_token`, as multi-model-server has them."""
    first = multi_model.request("GET", "/models?limit=1").json
    assert [model["modelName"] for model in first["models"]] == ["own"]
    second = multi_model.request("GET", f"/models?limit=1&next_page_token={first['nextPageToken']}").json
    assert [model["modelName"] for model in second["models"]] == ["plain"]
    assert "nextPageToken" not in second
    for query in ("limit=0", "limit=x", "next_page_token=-1"):
        refused = multi_model.request("GET", f"/models?{query}")
        assert (refused.status, "must be a whole number" in refused.error) == (400, True)


def test_a_stop_ends_the_installation(start: Any, saved_models: Path, tmp_path: Path) -> None:
    """SIGTERM while pip waits for an index that never answers: no process and no folder stay behind."""
    (tmp_path / "tmp").mkdir()
    code = coded.write(model_dir(tmp_path, saved_models), inference=coded.PAIR)
    with socket.create_server(("127.0.0.1", 0)) as index:
        (code / "requirements.txt").write_text(
            f"--index-url http://127.0.0.1:{index.getsockname()[1]}/\nno-such-package-anywhere==1\n"
        )
        server = serve(start, tmp_path, TMPDIR=str(tmp_path / "tmp")).wait_until_listening()
        server.wait_for("Looking in indexes")
        index.accept()[0].close()  # pip has begun, and tries again
        server.process.send_signal(signal.SIGTERM)
        assert server.end()[0] == 0
    assert processes_of(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def processes_of(folder: Path) -> list[str]:
    """The command lines with that folder in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(path.read_text(errors="replace"))
    return [line for line in found if str(folder) in line]
