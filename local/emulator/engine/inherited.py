"""What the programs that the emulator starts see of the user's own environment: nothing that could change a result."""

from __future__ import annotations

import os
from collections.abc import Mapping

# How programs and networks are reached, and the language; no keys, no Python or framework settings, no HOME.
NAMES = frozenset(
    [
        *("PATH", "LANG", "LANGUAGE", "TZ"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT"),
    ]
)
LOOPBACK = "localhost,127.0.0.1,::1"


def inherited(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The part of `environ` that is passed on; by default of this process's own, which is never interpreted here."""
    source = os.environ if environ is None else environ
    passed = {name: value for name, value in source.items() if name in NAMES or name.startswith("LC_")}
    if any(name.lower().endswith("_proxy") for name in passed):
        # What is started here talks to the emulator over loopback, where no proxy can follow.
        given = passed.get("no_proxy") or passed.get("NO_PROXY")
        direct = given if given == "*" else ",".join(filter(None, [given, LOOPBACK]))
        passed |= {"NO_PROXY": direct, "no_proxy": direct}
    return passed


def proxies() -> dict[str, str]:
    """Of that what names proxies, and what they are not for."""
    return {name: value for name, value in inherited().items() if name.lower().endswith("_proxy")}


def with_defaults(defaults: Mapping[str, str]) -> dict[str, str]:
    """All of this process's own environment, for a tool of the user's such as uv, and what it does not set itself."""
    return {**defaults, **os.environ}
