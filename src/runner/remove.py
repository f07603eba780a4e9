"""Removes endpoint, endpoint configuration and model, and checks that each is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

DEADLINE_SECONDS = (
    3600.0  # for all three: AWS takes minutes to put an endpoint up or down; it cannot be deleted half-way
)
ATTEMPTS = 10  # refusals and errors in a row, each after botocore's own retries
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
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


def remove(sagemaker: Any, name: str, poll_seconds: float, say: Callable[[str], None]) -> Removal:
    """Delete the three resources called `name`, in whatever state they are; those never made count as gone.

    Endpoint first, since it is what costs money. A deletion that is refused does not keep the others from being tried.
    """
    problems: list[str] = []
    deadline = time.monotonic() + DEADLINE_SECONDS

    def gone(resource: _Resource) -> bool:
        problem = _delete_and_verify(resource, poll_seconds, say, deadline)
        if problem:
            problems.append(f"{resource.what} {name}: {problem}")
        return problem is None

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


def _delete_and_verify(
    resource: _Resource, poll_seconds: float, say: Callable[[str], None], deadline: float
) -> str | None:
    """Ask for the deletion as soon as it is allowed, then look until the resource is gone; returns what went wrong.

    An endpoint may change its state between a look and the request, and a connection may fail: both are tried again.
    """
    asked = waiting = False
    errors: list[str] = []
    while time.monotonic() < deadline and len(errors) < ATTEMPTS:
        try:
            status = resource.describe().get("EndpointStatus")
            if status in BUSY and not waiting:
                say(f"the {resource.what} is {status}, and can be deleted only afterwards: waiting for that")
                waiting = True
            elif status not in BUSY and not asked:
                resource.delete()
                asked = True
                continue
            errors.clear()
        except (ClientError, BotoCoreError) as error:
            if GONE in str(error):
                return None
            errors.append(str(error))
        time.sleep(poll_seconds)
    return errors[-1] if errors else "it took too long"
