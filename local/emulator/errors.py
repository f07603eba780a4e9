"""Errors that an API answers with: raised anywhere below the wire, put into AWS's terms once, by the wire."""

from __future__ import annotations


class ApiError(Exception):
    """The request failed; `code`, `status` and the message are what the client sees."""

    code = "InternalFailure"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ValidationError(ApiError):
    """A parameter is missing, malformed or names something that is not there (AWS: ValidationException)."""

    code = "ValidationException"
    status = 400


class ResourceNotFound(ApiError):
    """The job that was named is not there."""

    code = "ResourceNotFound"
    status = 400


class ResourceInUse(ApiError):
    """The name is taken."""

    code = "ResourceInUse"
    status = 400


class ResourceLimitExceeded(ApiError):
    """An account's quota is used up."""

    code = "ResourceLimitExceeded"
    status = 400


class ServiceUnavailable(ApiError):
    """It cannot be done now; the SDKs try again by themselves."""

    code = "ServiceUnavailable"
    status = 503


class NotImplementedHere(ApiError):
    """AWS has this operation or parameter, the emulator has not; never ignored in silence."""

    code = "NotImplemented"
    status = 501


class ModelError(ApiError):
    """The model's container answered an invocation with an error (runtime API, HTTP 424)."""

    code = "ModelError"
    status = 424

    def __init__(self, message: str, *, original_status: int, original_message: str, log_stream_arn: str) -> None:
        super().__init__(message)
        self.original_status = original_status
        self.original_message = original_message
        self.log_stream_arn = log_stream_arn
