"""Refusals of requests that are not signed properly, by the names that AWS has for them in each protocol."""

from __future__ import annotations

from emulator.errors import ApiError
from emulator.wire.rendering import Style


class Refused(ApiError):
    """The request is not signed, or not properly; `style` is the protocol in which to say so."""

    def __init__(self, message: str, *, code: str, status: int, style: Style) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.style = style


# AWS names the same refusal differently in its protocols: (JSON and REST-JSON, query, S3), each (code, status).
_CODES: dict[str, dict[str, tuple[str, int]]] = {
    "missing": {
        "json": ("MissingAuthenticationTokenException", 403),
        "query": ("MissingAuthenticationToken", 403),
        "s3": ("AccessDenied", 403),
    },
    "unsupported": {
        "json": ("IncompleteSignatureException", 403),
        "query": ("IncompleteSignature", 400),
        "s3": ("InvalidRequest", 400),
    },
    "malformed": {
        "json": ("IncompleteSignatureException", 403),
        "query": ("IncompleteSignature", 400),
        "s3": ("AuthorizationHeaderMalformed", 400),
    },
    "key": {
        "json": ("UnrecognizedClientException", 403),
        "query": ("InvalidClientTokenId", 403),
        "s3": ("InvalidAccessKeyId", 403),
    },
    "token": {
        "json": ("UnrecognizedClientException", 403),
        "query": ("InvalidClientTokenId", 403),
        "s3": ("InvalidToken", 400),
    },
    "signature": {
        "json": ("InvalidSignatureException", 403),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("SignatureDoesNotMatch", 403),
    },
    "skew": {
        "json": ("InvalidSignatureException", 403),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("RequestTimeTooSkewed", 403),
    },
    "expired": {
        "json": ("InvalidSignatureException", 403),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("AccessDenied", 403),
    },
    "payload": {
        "json": ("InvalidSignatureException", 403),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("XAmzContentSHA256Mismatch", 400),
    },
}


def refused(kind: str, message: str, style: Style) -> Refused:
    """The refusal of that kind (a key of the table) in that protocol."""
    code, status = _CODES[kind]["json" if style == "rest-json" else style]
    return Refused(message, code=code, status=status, style=style)
