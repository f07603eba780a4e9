"""The direct computation of signatures against botocore's signer."""

from __future__ import annotations

import hashlib
from unittest import mock

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from emulator.sigv4_plain import SigningScope, signature

SECRET = "made/up+for=tests"
WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30)
NAMES = st.from_regex(r"x-[a-z0-9-]{1,15}", fullmatch=True).filter(lambda name: not name.startswith("x-amz-"))


def by_botocore(method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[dict[str, str], str, str]:
    """The headers that botocore signs, the time, and its signature."""
    request = AWSRequest(method, f"http://127.0.0.1:4566{target}", data=body, headers=headers)
    auth.SigV4Auth(Credentials("KEY", SECRET), "sagemaker", "eu-west-1").add_auth(request)
    fields = request.headers["Authorization"]
    names = fields.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    sent = {name.lower(): value for name, value in request.headers.items()} | {"host": "127.0.0.1:4566"}
    return {name: sent[name] for name in names}, sent["x-amz-date"], fields.partition("Signature=")[2]


@given(
    st.sampled_from(["POST", "GET", "put"]),
    st.sampled_from(["/", "/endpoints/my-Endpoint_1~2/invocations"]),
    st.dictionaries(NAMES, WORDS, max_size=5),
    st.binary(max_size=50),
)
def test_the_same_as_botocore(method: str, target: str, headers: dict[str, str], body: bytes) -> None:
    """For whatever headers and body; a change of any of them changes the signature."""
    signed, time, expected = by_botocore(method, target, headers, body)
    scope = SigningScope(SECRET, time, "eu-west-1", "sagemaker")
    assert signature(method, target, signed, scope, lambda: hashlib.sha256(body).hexdigest()) == expected
    other = hashlib.sha256(body + b"x").hexdigest()
    assert signature(method, target, signed, scope, lambda: other) != expected
    assert signature(method, target, {**signed, "x-more": "1"}, scope, lambda: "") != expected
    assert signature("DELETE", target, signed, scope, lambda: "") != expected


def test_a_stated_hash_counts() -> None:
    """As with botocore's signer; whether the body has it is checked elsewhere."""
    headers = {"X-Amz-Content-SHA256": "abc"}
    with mock.patch.object(auth.SigV4Auth, "payload", side_effect=AssertionError):
        signed, time, expected = by_botocore("POST", "/", headers, b"")
    scope = SigningScope(SECRET, time, "eu-west-1", "sagemaker")
    assert signature("POST", "/", signed, scope, lambda: pytest.fail("the body was hashed")) == expected


@pytest.mark.parametrize("target", ["/a?b=c", "/a%20b", "/a//b", "/a/../b", "/a/", "/a.b", "/ä", "//", "", "*", "/a\n"])
def test_what_needs_normalisation_is_left_to_botocore(target: str) -> None:
    """There are rules for it, and they are botocore's."""
    scope = SigningScope(SECRET, "20250131T235959Z", "eu-west-1", "sagemaker")
    assert signature("POST", target, {"host": "h"}, scope, lambda: "") is None


def test_headers_that_are_not_ascii_are_left_to_botocore() -> None:
    """Their encoding is a matter of its own."""
    scope = SigningScope(SECRET, "20250131T235959Z", "eu-west-1", "sagemaker")
    assert signature("POST", "/", {"host": "h", "x-a": "ä"}, scope, lambda: "") is None
