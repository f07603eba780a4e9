"""Verifies bodies that S3's clients sign chunk by chunk (`aws-chunked`), trailers included.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, and …/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import BinaryIO

from emulator.sigv4_plain import signing_key

_WITH_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
SIGNED_CHUNKS = frozenset({"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", _WITH_TRAILER})
"""The values of x-amz-content-sha256 that announce such a body."""

_EMPTY = hashlib.sha256(b"").hexdigest()
_HEAD = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})\r\n")
_LONGEST_LINE = 16 * 1024
_BLOCK = 1024 * 1024


class BadChunk(Exception):
    """The body is not what was signed; the message says where."""


@dataclass(frozen=True)
class SigningKey:
    """What chunks are signed with, once the request itself is verified."""

    key: bytes
    timestamp: str
    scope: str  # DATE/REGION/SERVICE/aws4_request

    @classmethod
    def derive(cls, secret_access_key: str, timestamp: str, scope: str) -> SigningKey:
        """The key for this scope ("Deriving the signing key" in the documentation of SigV4)."""
        day, region, service, _ = scope.split("/")
        return cls(signing_key(secret_access_key, day, region, service), timestamp, scope)

    def sign(self, kind: str, *parts: str) -> str:
        """The signature of a chunk or of the trailers."""
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.timestamp, self.scope, *parts])
        return hmac.new(self.key, text.encode(), "sha256").hexdigest()


def check_chunks(body: BinaryIO, announced: str, seed: str, key: SigningKey, decoded_length: str | None) -> None:
    """Read the body (it is at its start again afterwards). `seed` is the request's own signature.

    Raises BadChunk for a chunk or trailer whose signature is another, and where chunks are missing or left over.
    """
    body.seek(0)
    try:
        length, last = _chunks(body, seed, key)
        trailers = _trailers(body)
        if announced == _WITH_TRAILER:
            stated = trailers.pop("x-amz-trailer-signature", "")
            text = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
            _compare(stated, key.sign("TRAILER", last, hashlib.sha256(text.encode()).hexdigest()), "the trailers")
        elif trailers:
            raise BadChunk("there are trailers, which were not announced")
        if decoded_length is not None and decoded_length != str(length):
            raise BadChunk(f"x-amz-decoded-content-length is {decoded_length}, the chunks have {length} bytes")
    finally:
        body.seek(0)


def _chunks(body: BinaryIO, seed: str, key: SigningKey) -> tuple[int, str]:
    """The length of all chunks, and the last one's signature."""
    total, number, previous = 0, 0, seed
    while True:
        number += 1
        head = _HEAD.fullmatch(body.readline(_LONGEST_LINE))
        if head is None:
            raise BadChunk(f"chunk {number} has no head of the form SIZE;chunk-signature=SIGNATURE")
        size, digest = int(head[1], 16), hashlib.sha256()
        left = size
        while left and (block := body.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        if left or (size and body.read(2) != b"\r\n"):
            raise BadChunk(f"chunk {number} does not have its {size} bytes")
        expected = key.sign("PAYLOAD", previous, _EMPTY, digest.hexdigest())
        _compare(head[2].decode(), expected, f"chunk {number}")
        total, previous = total + size, expected
        if not size:
            return total, previous


def _trailers(body: BinaryIO) -> dict[str, str]:
    """The lines after the last chunk, by name; nothing may follow them."""
    found: dict[str, str] = {}
    while (line := body.readline(_LONGEST_LINE).rstrip(b"\r\n")) != b"":
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or name.lower() in found:
            raise BadChunk("the trailers are not lines of the form NAME:VALUE")
        found[name.lower()] = value.strip()
    if body.read(1):
        raise BadChunk("something follows the last chunk")
    return found


def _compare(stated: str, expected: str, what: str) -> None:
    if not hmac.compare_digest(stated.encode(), expected.encode()):
        raise BadChunk(f"the signature of {what} does not match")
