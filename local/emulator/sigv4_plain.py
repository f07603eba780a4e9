"""The signature of an ordinary request, computed directly: half the time of botocore's signer.

Ordinary is what needs no rule of normalisation: a path of plain segments, no query, headers in ASCII. For all else
`signature` gives None, and botocore's signers are asked. Both give the same (test_sigv4_plain.py).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_PLAIN_TARGET = re.compile(r"/|(?:/[A-Za-z0-9_~-]+)+")
_CONTENT_HASH = "x-amz-content-sha256"


@dataclass(frozen=True)
class SigningScope:
    """What a signing key is made for, and when the request was signed."""

    secret: str
    timestamp: str  # 20250131T235959Z
    region: str
    service: str


def signature(
    method: str, target: str, headers: Mapping[str, str], scope: SigningScope, body_hash: Callable[[], str]
) -> str | None:
    """The signature of a request with these signed headers (names in lower case); None if it is no ordinary one.

    `body_hash` is asked where no hash of the body is among the headers.
    """
    if not _PLAIN_TARGET.fullmatch(target):
        return None
    names = sorted(headers)
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    digest = headers.get(_CONTENT_HASH) or body_hash()
    canonical = "\n".join([method.upper(), target, "", *lines, "", ";".join(names), digest])
    if not canonical.isascii():
        return None
    day = scope.timestamp[:8]
    to_sign = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            scope.timestamp,
            f"{day}/{scope.region}/{scope.service}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    return hmac.digest(signing_key(scope.secret, day, scope.region, scope.service), to_sign.encode(), "sha256").hex()


@functools.lru_cache(maxsize=64)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key that the client derives as well; the same for all of a day's requests to a service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
