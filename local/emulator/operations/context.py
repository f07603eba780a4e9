"""What every operation works with, and what they share: ARNs, tags, AWS's answers to a name that is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.account import Account
from emulator.clock import Clock
from emulator.errors import ResourceLimitExceeded, ValidationError
from emulator.lifecycle.hosting import Endpoints
from emulator.lifecycle.runtime import Runtime
from emulator.lifecycle.training import TrainingJobs
from emulator.operations.paging import Tokens
from emulator.operations.waiting import Holds
from emulator.store.port import Kind, NotFound, Resource, Store

Parameters = Mapping[str, Any]  # AWS-cased, validated by the wire
Answer = dict[str, Any]  # AWS-cased; the wire drops what the output shape has not

TAGS_A_RESOURCE = 50  # AWS's quota

_NOUNS = {Kind.MODEL: "model", Kind.ENDPOINT_CONFIG: "endpoint configuration", Kind.ENDPOINT: "endpoint"}


@dataclass(frozen=True)
class Context:
    """The parts that operations call."""

    account: Account
    store: Store
    clock: Clock
    tokens: Tokens
    training_jobs: TrainingJobs
    endpoints: Endpoints
    runtime: Runtime
    holds: Holds = field(default_factory=lambda: Holds(seconds=0))

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of a resource in this account."""
        return self.account.arn(kind.value, name)

    def find(self, kind: Kind, name: str) -> Resource:
        """The resource. Raises ValidationError with AWS's text when it is not there."""
        try:
            return self.store.get(kind, name)
        except NotFound:
            raise missing(kind, self.arn(kind, name)) from None

    def settled(self, kind: Kind, name: str, in_transition: Collection[str]) -> Resource:
        """As `find`; while its status is one of those, the request may be held back until it changes (`Holds`)."""
        try:
            return self.holds.settled(self.store, self.clock, kind, name, in_transition)
        except NotFound:
            raise missing(kind, self.arn(kind, name)) from None

    def new(self, kind: Kind, name: str, document: Mapping[str, Any], status: str = "") -> Resource:
        """A resource that begins now; not stored yet."""
        now = self.clock.now()
        return Resource(kind, name, self.arn(kind, name), now, now, document, status)


def missing(kind: Kind, arn: str) -> ValidationError:
    """AWS's answer for a resource that is not there. The waiters of botocore and Terraform look at "Could not find"."""
    if kind is Kind.TRAINING_JOB:
        # Not the ResourceNotFound of AWS's own model: https://github.com/boto/boto3/issues/2808 (2021, open in 2022)
        return ValidationError("Requested resource not found.")
    return ValidationError(f'Could not find {_NOUNS[kind]} "{arn}".')


def existing(kind: Kind, arn: str) -> ValidationError:
    """AWS's answer for a name that is taken (training jobs have another)."""
    return ValidationError(f'Cannot create already existing {_NOUNS[kind]} "{arn}".')


def tags_of(parameters: Parameters) -> dict[str, str]:
    """The request's Tags as a map. Raises ValidationError or ResourceLimitExceeded."""
    tags = to_map(parameters.get("Tags", ()))
    if len(tags) > TAGS_A_RESOURCE:
        raise ResourceLimitExceeded(f"A resource can have at most {TAGS_A_RESOURCE} tags.")
    return tags


def to_map(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """AWS's list of Key and Value as a map."""
    found = {tag["Key"]: tag["Value"] for tag in tags}
    if len(found) < len(tags):
        raise ValidationError("Duplicate tag keys are not allowed.")
    if any(key.lower().startswith("aws:") for key in found):
        raise ValidationError("aws: prefixed tag key names are not allowed for external use.")
    return found


def to_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """A map of tags as AWS's list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
