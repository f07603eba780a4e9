from typing import Any

import pytest

from model_server import bodies
from model_server.errors import BadInputError, UnsupportedMediaTypeError


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        ('{"instances": [1]}', {"instances": [1]}),
        ('{"inputs": {"a": [1]}, "signature_name": "s"}', {"inputs": {"a": [1]}, "signature_name": "s"}),
        ('{ "examples" : [{"a": 1}]}', {"examples": [{"a": 1}]}),
        ("[1, 2]", {"instances": [[1, 2]]}),
        ("[[1], [2]]", {"instances": [[1], [2]]}),
        ("[[[1]]]", {"instances": [[[1]]]}),
        ("[]", {"instances": [[]]}),
        ('[{"a": 1}, {"a": 2}]', {"instances": [[{"a": 1}, {"a": 2}]]}),
        ('{"a": 1}', {"instances": [{"a": 1}]}),
        ("7", {"instances": [7]}),
        ('"instances"', {"instances": ["instances"]}),
        ("[1,2]\n[3,4]", {"instances": [[1, 2], [3, 4]]}),
        ('{"a": 1}\n{"a": 2}', {"instances": [{"a": 1}, {"a": 2}]}),
        ("[1,2] [3,4]", {"instances": [[1, 2], [3, 4]]}),
    ],
)
@pytest.mark.parametrize("content_type", bodies.JSON_TYPES)
def test_the_rule_for_json(content_type: str, body: str, request_: Any) -> None:
    """Requests go through, several values are an instance each, lists of lists are instances, the rest is one."""
    assert bodies.read(content_type, body.encode()) == request_


@pytest.mark.parametrize("body", ['{"inputs": 1}\n{"inputs": 2}', '[{"inputs": 1}]', '{"a": {"inputs": 1}} 5'])
def test_a_request_key_makes_the_whole_body_a_request(body: str) -> None:
    """AWS's container looks for the key anywhere in the text, and passes the body on as it is."""
    with pytest.raises(BadInputError):
        bodies.read("application/json", body.encode())


def test_csv_becomes_instances() -> None:
    """The lines of CSV are the instances."""
    assert bodies.read("text/csv", b"1,2\n3,4") == {"instances": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("content_type", "named"), [(None, "Unknown"), ("", "Unknown"), ("text/xml", "text/xml"), ("TEXT/CSV", "TEXT/CSV")]
)
def test_other_types(content_type: str | None, named: str) -> None:
    """Any other Content-Type is refused by its name."""
    with pytest.raises(UnsupportedMediaTypeError, match=f"^Unsupported Media Type: {named}$"):
        bodies.read(content_type, b"1")
