"""The endpoint, from its deployment until it serves."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import WaiterError

from runner.errors import RunnerError

SECONDS = 1800.0


def wait_until_in_service(sagemaker: Any, name: str, poll_seconds: float) -> None:
    """Look at it every `poll_seconds`, for SECONDS at most. Raises RunnerError with the endpoint's FailureReason."""
    waiter = sagemaker.get_waiter("endpoint_in_service")
    attempts = int(SECONDS / poll_seconds)
    try:
        waiter.wait(EndpointName=name, WaiterConfig={"Delay": poll_seconds, "MaxAttempts": attempts})
    except WaiterError as error:
        reason = (error.last_response or {}).get("FailureReason", error)
        raise RunnerError(f"endpoint {name}: not in service: {reason}") from None
