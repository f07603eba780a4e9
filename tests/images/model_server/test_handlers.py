from pathlib import Path
from typing import Any

import pytest

from model_server.errors import StartError
from model_server.handler_context import Asked, Context, rest_server
from model_server.handlers import HandlerError, load


class FakeGrpc:
    """What a handler would reach the server by."""

    port = "9"
    channel = object()


CONTEXT = Asked(None, None, None, 0).context("http://127.0.0.1:1", FakeGrpc(), "m")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Where inference.py is to be."""
    return tmp_path / "inference.py"


def handler_of(script: Path, text: str) -> Any:
    """What is found in a script of that text."""
    script.write_text(text)
    return load(script)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has neither; define handler"),
        ("def input_handler(data, context): ...", "has input_handler only"),
        ("def output_handler(response, context): ...", "has output_handler only"),
        ("handler = 5", "handler is no function, but 5"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def handler(:", "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("import asyncio; raise asyncio.CancelledError", "cannot be imported: CancelledError"),
    ],
)
def test_a_script_that_cannot_be_used(script: Path, text: str, words: str) -> None:
    """The start ends with the script's path and what is wrong with it."""
    with pytest.raises(StartError) as error:
        handler_of(script, text)
    assert str(error.value).startswith(f"{script}: ")
    assert words in str(error.value)


def test_handler_wins_over_the_pair(script: Path) -> None:
    """As in AWS's container, where somebody leaves both."""
    pair = "def input_handler(data, context): ...\ndef output_handler(response, context): ...\n"
    handler = handler_of(script, f"{pair}def handler(data, context): return data.read(), 'text/plain'")
    answer = handler.answer(b"abc", CONTEXT)
    assert (answer.body, answer.content_type) == (b"abc", "text/plain")


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("('grün', 'text/plain')", "grün".encode(), "text/plain"),
        ("[bytearray(b'x'), 'a/b; c=d']", b"x", "a/b; c=d"),
        ("(b'', None)", b"", "application/json"),
    ],
)
def test_what_a_handler_may_return(script: Path, returned: str, body: bytes, content_type: str) -> None:
    """Text is UTF-8; without a type it is JSON."""
    answer = handler_of(script, f"def handler(data, context): return {returned}").answer(b"", CONTEXT)
    assert (answer.body, answer.content_type) == (body, content_type)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("raise ValueError('Unsupported content type text/x')", "Unsupported content type text/x"),
        ("raise KeyError", "KeyError"),
        ("raise SystemExit(4)", "4"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import asyncio; raise asyncio.CancelledError('late')", "late"),
        ("return None", "must return (body, content_type), but returned NoneType"),
        ("return b'x'", "must return (body, content_type), but returned bytes"),
        ("return {}, 'text/plain'", "must be bytes or str, not dict"),
        ("return b'', 5", "must be str, not int"),
        ("return b'', 'a\\r\\nSet-Cookie: b'", "The content type that the handler returns is none"),
    ],
)
def test_a_handler_that_fails(script: Path, statement: str, words: str) -> None:
    """The exception's own text, and nothing of the server's, is what the client gets."""
    handler = handler_of(script, f"def handler(data, context): {statement}")
    with pytest.raises(HandlerError) as error:
        handler.answer(b"", CONTEXT)
    assert error.value.status == 500
    assert words in str(error.value)


def test_the_data_is_a_stream(script: Path) -> None:
    """With read, readline, and lines to go through, as gunicorn's in AWS's container."""
    text = "def handler(data, context): return b'|'.join([data.read(2), data.readline(), *data]), None"
    assert handler_of(script, text).answer(b"1,2\n3,4\n5\n", CONTEXT).body == b"1,|2\n|3,4\n|5\n"


def test_the_context_without_headers() -> None:
    """Names, version and method are what the request says: nothing; the address has the defaults."""
    context = Asked(None, None, None, 0).context("http://127.0.0.1:1", FakeGrpc(), "m")
    assert context == Context(
        model_name=None,
        model_version=None,
        method=None,
        rest_uri="http://127.0.0.1:1/v1/models/m:predict",
        grpc_port=FakeGrpc.port,
        channel=FakeGrpc.channel,
        custom_attributes=None,
        request_content_type="application/json",
        accept_header="application/json",
        content_length=0,
    )
    assert Context._fields[:4] == ("model_name", "model_version", "method", "rest_uri")


def test_the_context_of_a_request() -> None:
    """Attributes choose model, version and method; in multi-model mode the path has chosen the model."""
    attributes = "a=b,tfs-model-name=n/x,tfs-model-version=7,tfs-method=classify"
    asked = Asked(attributes, "text/csv", "text/plain", 12)
    context = asked.context("http://[::1]:2", FakeGrpc(), "m")
    assert context[:4] == ("n/x", "7", "classify", "http://[::1]:2/v1/models/n%2Fx/versions/7:classify")
    assert context[6:] == (attributes, "text/csv", "text/plain", 12)
    assert (
        asked.context("http://h:2", FakeGrpc(), "m", "hash").rest_uri == "http://h:2/v1/models/hash/versions/7:classify"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.2", "http://127.0.0.2:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_server_can_be_reached(host: str, address: str) -> None:
    """A server on all addresses is reached by loopback's."""
    assert rest_server(host, 80) == address
