"""The user's pip settings, as uv's."""

from __future__ import annotations

import sys

import pytest

from emulator.pip_settings import parse, read_pip_settings


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("", {}),
        ("global.index-url='https://mirror/simple'\n", {"UV_DEFAULT_INDEX": "https://mirror/simple"}),
        (
            ":env:.index-url='https://c/'\nglobal.index-url='https://a/'\ninstall.index-url='https://b/'",
            {"UV_DEFAULT_INDEX": "https://c/"},
        ),
        ("global.cert='/etc/ssl/ca.pem'", {"SSL_CERT_FILE": "/etc/ssl/ca.pem"}),
        (
            "global.find-links='/a b'\nglobal.no-index='true'\nglobal.index-url='https://a/'",
            {"UV_OFFLINE": "1", "UV_FIND_LINKS": "/a,b"},
        ),
        ("global.find-links='/a'\nglobal.extra-index-url='https://a/'\nglobal.timeout='60'", {}),
    ],
)
def test_parse(listing: str, expected: dict[str, str]) -> None:
    """An index, wheels without an index, and a CA bundle are taken over; the environment wins over files."""
    assert parse(listing) == expected


def test_a_python_without_pip() -> None:
    """There is nothing to be taken over, and that is no error."""
    assert read_pip_settings("/nonexistent/python") == {}
    assert isinstance(read_pip_settings(sys.executable), dict)
