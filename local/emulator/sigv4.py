"""Verifies AWS Signature Version 4, in headers and in presigned URLs, with botocore's own signers.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from botocore import auth, credentials
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders

from emulator import sigv4_plain
from emulator.http import Request
from emulator.sigv4_plain import SigningScope
from emulator.wire.refusals import refused
from emulator.wire.rendering import Style, style_of

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = "%Y%m%dT%H%M%SZ"
_SKEW = timedelta(minutes=15)
_LONGEST_PRESIGNED = 7 * 24 * 3600
_BLOCK = 1024 * 1024
_S3 = ("s3", "s3-object-lambda", "s3-outposts")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Credentials:
    """The key pair that clients must sign with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Scope:
    """The credential scope of a request that was verified."""

    service: str
    region: str


@dataclass(frozen=True)
class _Claim:
    """What the request says about its signature."""

    access_key_id: str
    date: str
    region: str
    service: str
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str | None
    expires: int | None  # seconds; presigned URLs only


_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_BAD_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's text, not a secret
_VERSION_2 = (
    f"The authorization mechanism you have provided is not supported. Please use {_ALGORITHM}. "
    "(boto3 presigns so when its client has Config(signature_version='s3v4').)"
)
_USE_ENV = ' The emulator makes new keys at each start: eval "$(python -m emulator env)" sets them.'


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Verifier:
    """Checks requests against one pair of keys."""

    def __init__(self, keys: Credentials, now: Callable[[], datetime] = _utc_now) -> None:
        self._keys = keys
        self._now = now

    def verify(self, request: Request) -> Scope:
        """The scope that the request is signed for. Raises Refused; reads the body only where its hash is signed."""
        claim = _claim(request)
        style = style_of(request, claim.service)
        if not hmac.compare_digest(claim.access_key_id.encode(), self._keys.access_key_id.encode()):
            text = "The AWS Access Key Id you provided does not exist in our records."
            raise refused("key", (text if style == "s3" else _BAD_TOKEN) + _USE_ENV, style)
        if claim.token is not None:
            raise refused("token", _BAD_TOKEN + " The emulator's keys have no session token.", style)
        self._check_time(claim, style)
        expected = _signature(claim, request, self._keys)
        if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
            raise refused("signature", _MISMATCH, style)
        _check_payload(claim, request, style)
        return Scope(claim.service, claim.region)

    def _check_time(self, claim: _Claim, style: Style) -> None:
        try:
            signed = datetime.strptime(claim.timestamp, _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise refused("malformed", f"The date {claim.timestamp!r} is not of the form {_TIME}", style) from None
        if claim.timestamp[:8] != claim.date:
            raise refused(
                "signature", f"Date in Credential scope ({claim.date}) does not match {claim.timestamp}", style
            )
        now = self._now()
        lifetime = _SKEW if claim.expires is None else timedelta(seconds=claim.expires)
        if now > signed + lifetime:
            kind = "skew" if claim.expires is None else "expired"
            text = f"Signature expired: {claim.timestamp} is now earlier than {(now - lifetime).strftime(_TIME)}"
            s3_text = "Request has expired" if claim.expires is not None else _S3_SKEW
            raise refused(kind, s3_text if style == "s3" else text, style)
        if signed > now + _SKEW:
            text = f"Signature not yet current: {claim.timestamp} is still later than {(now + _SKEW).strftime(_TIME)}"
            raise refused("skew", _S3_SKEW if style == "s3" else text, style)


_S3_SKEW = "The difference between the request time and the current time is too large."


def _claim(request: Request) -> _Claim:
    authorization = request.headers.get("authorization")
    query = dict(request.query)
    if authorization is None and "X-Amz-Algorithm" in query:
        return _claim_of_query(request, query)
    style = style_of(request)
    if authorization is None:
        if "Signature" in query and "AWSAccessKeyId" in query:
            raise refused("unsupported", _VERSION_2, "s3")
        text = "Access Denied: the request is not signed" if style == "s3" else "Missing Authentication Token"
        raise refused("missing", text, style)
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != _ALGORITHM:
        text = f"The authorization mechanism you have provided is not supported. Please use {_ALGORITHM}."
        raise refused("unsupported", text, style)
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    absent = [name for name in ("Credential", "SignedHeaders", "Signature") if not fields.get(name)]
    timestamp = request.headers.get("x-amz-date")
    if absent or timestamp is None:
        needed = [f"Authorization's {name}" for name in absent] + ([] if timestamp else ["the header X-Amz-Date"])
        raise refused("malformed", f"The request lacks {', '.join(needed)}", style)
    return _checked_claim(
        request,
        fields,
        timestamp=timestamp,
        token=request.headers.get("x-amz-security-token"),
        expires=None,
    )


def _claim_of_query(request: Request, query: dict[str, str]) -> _Claim:
    style = style_of(request)
    absent = [
        name for name in ("Credential", "Date", "Expires", "SignedHeaders", "Signature") if f"X-Amz-{name}" not in query
    ]
    if absent or query["X-Amz-Algorithm"] != _ALGORITHM:
        text = f"Query-string authentication with {_ALGORITHM} needs all of X-Amz-Algorithm, X-Amz-Credential, "
        raise refused("malformed", text + "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires", style)
    expires = query["X-Amz-Expires"]
    if not expires.isdecimal() or int(expires) > _LONGEST_PRESIGNED:
        text = f"X-Amz-Expires must be a number of seconds, at most a week ({_LONGEST_PRESIGNED})"
        raise refused("malformed", text, style)
    return _checked_claim(
        request,
        {name: query[f"X-Amz-{name}"] for name in ("Credential", "SignedHeaders", "Signature")},
        timestamp=query["X-Amz-Date"],
        token=query.get("X-Amz-Security-Token", request.headers.get("x-amz-security-token")),
        expires=int(expires),
    )


def _checked_claim(
    request: Request, fields: Mapping[str, str], *, timestamp: str, token: str | None, expires: int | None
) -> _Claim:
    scope = fields["Credential"].rsplit("/", 4)  # an access key may hold slashes, a scope may not
    style = style_of(request, scope[3] if len(scope) == 5 else None)
    if len(scope) != 5 or scope[4] != "aws4_request":
        raise refused("malformed", "Credential must be KEY/DATE/REGION/SERVICE/aws4_request", style)
    names = tuple(fields["SignedHeaders"].split(";"))
    if "host" not in names:
        raise refused("malformed", "'Host' must be a signed header", style)
    # A header with a meaning to AWS that is sent, but not signed, could have been added on the way.
    loose = [name for name in request.headers if name.startswith("x-amz-") and name not in names]
    if loose and expires is None:
        text = f"There were headers present in the request which were not signed: {', '.join(loose)}"
        raise refused("missing" if style == "s3" else "signature", text, style)
    return _Claim(scope[0], scope[1], scope[2], scope[3], timestamp, names, fields["Signature"], token, expires)


def _signature(claim: _Claim, request: Request, keys: Credentials) -> str:
    """The signature that the request should have."""
    if claim.expires is None and claim.service not in _S3:
        signed = {name: request.headers[name] for name in claim.signed_headers if name in request.headers}
        scope = SigningScope(keys.secret_access_key, claim.timestamp, claim.region, claim.service)
        plain = sigv4_plain.signature(request.method, request.target, signed, scope, lambda: _sha256(request.body))
        if plain is not None:
            return plain
    target = request.target
    if claim.expires is not None:
        kept = [part for part in request.query_string.split("&") if not part.startswith("X-Amz-Signature=")]
        target = f"{request.path}?{'&'.join(kept)}"
    aws_request = AWSRequest(
        method=request.method,
        url=_as_utf8(f"http://{request.headers.get('host', '')}{target}"),
        headers={name: _as_utf8(request.headers[name]) for name in claim.signed_headers if name in request.headers},
        data=_Hashed(request.body),
    )
    aws_request.context["timestamp"] = claim.timestamp
    presigned, s3 = claim.expires is not None, claim.service in _S3
    signer_class: Any = {
        (False, False): auth.SigV4Auth,
        (False, True): auth.S3SigV4Auth,
        (True, False): auth.SigV4QueryAuth,
        (True, True): auth.S3SigV4QueryAuth,
    }[presigned, s3]
    signer = _signing_all(signer_class)(
        credentials.Credentials(keys.access_key_id, keys.secret_access_key), claim.service, claim.region
    )
    canonical = signer.canonical_request(aws_request)
    return str(signer.signature(signer.string_to_sign(aws_request, canonical), aws_request))


def _as_utf8(text: str) -> str:
    """What came in as bytes (a character each) in the encoding that clients sign."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _signing_all(signer_class: Any) -> Any:
    """The signer, with the headers that the client chose to sign instead of botocore's own choice."""

    class Signer(signer_class):  # type: ignore[misc]
        def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
            chosen = HTTPHeaders()
            for name, value in request.headers.items():
                chosen[name.lower()] = value
            return chosen

        def payload(self, request: AWSRequest) -> str:
            if signer_class is auth.S3SigV4QueryAuth:
                return "UNSIGNED-PAYLOAD"
            return str(request.data.sha256())

    return Signer


class _Hashed:
    """A body of which only the hash is asked for."""

    def __init__(self, body: BinaryIO) -> None:
        self._body = body

    def sha256(self) -> str:
        return _sha256(self._body)


def _sha256(body: BinaryIO) -> str:
    """The hash of a body that may be larger than the memory; it is at its start again afterwards."""
    body.seek(0)
    digest = hashlib.sha256()
    while block := body.read(_BLOCK):
        digest.update(block)
    body.seek(0)
    return digest.hexdigest()


def _check_payload(claim: _Claim, request: Request, style: Style) -> None:
    """Where the client signed a hash of the body, the body must have it.

    `UNSIGNED-PAYLOAD` and `STREAMING-…` have none: of those that sign each chunk, only the first signature is verified.
    """
    stated = request.headers.get("x-amz-content-sha256")
    if stated is None or stated == "UNSIGNED-PAYLOAD" or stated.startswith("STREAMING-"):
        return
    if claim.expires is not None and "x-amz-content-sha256" not in claim.signed_headers:
        return
    actual = EMPTY_SHA256 if request.length == 0 else _sha256(request.body)
    if not hmac.compare_digest(stated.encode(), actual.encode()):
        text = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise refused("payload", text if style == "s3" else _MISMATCH, style)
