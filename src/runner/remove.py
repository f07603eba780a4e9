"""Removes endpoint, endpoint configuration and model, and checks that each is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

DEADLINE_SECONDS = 900.0  # AWS takes minutes to take an endpoint down
GONE = "Could not find"


@dataclass(frozen=True)
class Removal:
    """What was verified to be gone, and why the rest is not."""

    endpoint: bool
    endpoint_config: bool
    model: bool
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return self.endpoint and self.endpoint_config and self.model


@dataclass(frozen=True)
class _Resource:
    """How to see and delete one of the three."""

    what: str
    describe: Callable[[], Any]
    delete: Callable[[], Any]


def remove(sagemaker: Any, name: str, poll_seconds: float) -> Removal:
    """Delete the three resources called `name`, in whatever state they are; those never made count as gone.

    Endpoint first, since it is what costs money. A deletion that is refused does not keep the others from being tried.
    """
    problems: list[str] = []

    def gone(resource: _Resource) -> bool:
        try:
            return _delete_and_verify(resource, poll_seconds)
        except (ClientError, BotoCoreError) as error:
            problems.append(f"{resource.what} {name}: {error}")
            return False

    return Removal(
        endpoint=gone(
            _Resource(
                "endpoint",
                lambda: sagemaker.describe_endpoint(EndpointName=name),
                lambda: sagemaker.delete_endpoint(EndpointName=name),
            )
        ),
        endpoint_config=gone(
            _Resource(
                "endpoint configuration",
                lambda: sagemaker.describe_endpoint_config(EndpointConfigName=name),
                lambda: sagemaker.delete_endpoint_config(EndpointConfigName=name),
            )
        ),
        model=gone(
            _Resource(
                "model",
                lambda: sagemaker.describe_model(ModelName=name),
                lambda: sagemaker.delete_model(ModelName=name),
            )
        ),
        problems=tuple(problems),
    )


def _delete_and_verify(resource: _Resource, poll_seconds: float) -> bool:
    """Ask for the deletion as soon as it is allowed, then look until the resource is gone."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    asked = False
    while (found := _found(resource.describe)) is not None and time.monotonic() < deadline:
        # An endpoint that is being created cannot be deleted: AWS answers with a ValidationException.
        if not asked and found.get("EndpointStatus") not in ("Creating", "Updating"):
            _found(resource.delete)
            asked = True
        else:
            time.sleep(poll_seconds)
    return found is None


def _found(call: Callable[[], Any]) -> Any:
    """What the call answers, or None when its resource is not there."""
    try:
        return call()
    except ClientError as error:
        if GONE in error.response["Error"]["Message"]:
            return None
        raise
