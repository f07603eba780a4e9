"""Refusals of requests that are not signed properly, by the names that AWS has for them in each protocol."""

from __future__ import annotations

from typing import Literal

from emulator.errors import ApiError
from emulator.wire.rendering import Style


class Refused(ApiError):
    """The request is not signed, or not properly; `style` is the protocol in which to say so."""

    def __init__(self, message: str, *, code: str, status: int, style: Style) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.style = style


Kind = Literal[
    "missing", "unsupported", "malformed", "both", "target", "key", "token", "token expired", "signature", "skew",
    "expired", "payload",
]  # fmt: skip

# AWS names the same refusal differently in its protocols, and the status differs as well: services of the JSON protocol
# answer 400 (logspout-kinesis#21: "InvalidSignatureException … status code: 400"), those of REST-JSON 403. Each: JSON
# and REST-JSON, query, S3, with the statuses of the last two.
_CODES: dict[Kind, tuple[str, tuple[str, int], tuple[str, int]]] = {
    "missing": ("MissingAuthenticationTokenException", ("MissingAuthenticationToken", 403), ("AccessDenied", 403)),
    "unsupported": ("IncompleteSignatureException", ("IncompleteSignature", 400), ("InvalidRequest", 400)),
    "malformed": ("IncompleteSignatureException", ("IncompleteSignature", 400), ("AuthorizationHeaderMalformed", 400)),
    "both": ("IncompleteSignatureException", ("IncompleteSignature", 400), ("InvalidArgument", 400)),
    "target": ("IncompleteSignatureException", ("IncompleteSignature", 400), ("InvalidURI", 400)),
    "key": ("UnrecognizedClientException", ("InvalidClientTokenId", 403), ("InvalidAccessKeyId", 403)),
    "token": ("UnrecognizedClientException", ("InvalidClientTokenId", 403), ("InvalidToken", 400)),
    "token expired": ("ExpiredTokenException", ("ExpiredToken", 403), ("ExpiredToken", 400)),
    "signature": ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)),
    "skew": ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("RequestTimeTooSkewed", 403)),
    "expired": ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("AccessDenied", 403)),
    "payload": ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("XAmzContentSHA256Mismatch", 400)),
}


def refused(kind: Kind, message: str, style: Style) -> Refused:
    """The refusal of that kind in that protocol."""
    json, query, s3 = _CODES[kind]
    code, status = {"json": (json, 400), "rest-json": (json, 403), "query": query, "s3": s3}[style]
    return Refused(message, code=code, status=status, style=style)
