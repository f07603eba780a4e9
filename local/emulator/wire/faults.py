"""Errors that belong to the protocols themselves, not to any operation."""

from __future__ import annotations

from emulator.errors import ApiError


class SerializationError(ApiError):
    """The body is not what the protocol asks for: no JSON, or a value of the wrong JSON type."""

    code = "SerializationException"
    status = 400


class UnknownOperation(ApiError):
    """AWS's service has no such operation either."""

    code = "UnknownOperationException"
    status = 400


class RequestTooLarge(ApiError):
    """The body is larger than any operation accepts."""

    code = "RequestEntityTooLarge"
    status = 413


class BodyTooLarge(ApiError):
    """The body is larger than the service's HTTP server takes: answered in plain text, without a code."""

    code = "413"
    status = 413


class InternalFailure(ApiError):
    """A mistake of the emulator's; the log has the traceback."""

    code = "InternalFailure"
    status = 500


class BadOutput(Exception):
    """An operation returned what the output shape does not allow: a mistake in the operation."""
