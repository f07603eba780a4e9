"""What is stored of an endpoint, and how each of its transitions changes that.

Keys of the document: `Plan` (what serves, or is to), `Running` (instances by variant), `Since` (when the latest
deployment began), `Pending` and `PendingDeploymentConfig` (of UpdateEndpoint, while it lasts), `Before` (the plan to go
back to when UpdateEndpointWeightsAndCapacities fails), `LastDeploymentConfig`, `FailureReason`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.lifecycle.plan import Plan
from emulator.store.port import Change, Resource

CREATING, IN_SERVICE, UPDATING, SYSTEM_UPDATING = "Creating", "InService", "Updating", "SystemUpdating"
FAILED, DELETING = "Failed", "Deleting"
IN_PROGRESS = frozenset({CREATING, UPDATING, SYSTEM_UPDATING, DELETING})
FAILURE_REASON_LIMIT = 1024

_OF_AN_UPDATE = ("Pending", "PendingDeploymentConfig", "Before")


class InProgress(Exception):
    """The endpoint is Creating, Updating, SystemUpdating or Deleting: it cannot be changed now."""


class NotInService(Exception):
    """The endpoint is Failed: it cannot be updated, only deleted."""


class SameConfiguration(Exception):
    """The endpoint has that configuration already."""


@dataclass(frozen=True)
class Update:
    """What UpdateEndpoint asks for."""

    plan: Plan
    retain: bool = False  # RetainAllVariantProperties
    exclude: Sequence[str] = ()  # ExcludeRetainedVariantProperties
    deployment_config: Mapping[str, Any] | None = None
    retain_deployment_config: bool = False


@dataclass(frozen=True)
class Desired:
    """What UpdateEndpointWeightsAndCapacities asks for, by variant."""

    weights: Mapping[str, float]
    counts: Mapping[str, int]


def new(plan: Plan, now: datetime, deployment_config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The document of an endpoint that begins."""
    document: dict[str, Any] = {"Plan": plan.document(), "Running": {}, "Since": now}
    return {**document, "LastDeploymentConfig": deployment_config} if deployment_config else document


def plan_of(endpoint: Resource) -> Plan:
    """What serves, or is to."""
    return Plan.read(endpoint.document["Plan"])


def instances(endpoint: Resource) -> int:
    """How many it has at the moment, of all variants."""
    return sum(endpoint.document["Running"].values())


def pending_of(endpoint: Resource) -> Plan | None:
    """What an UpdateEndpoint is to bring."""
    pending = endpoint.document.get("Pending")
    return None if pending is None else Plan.read(pending)


def updating(endpoint: Resource, update: Update, now: datetime) -> Change:
    """UpdateEndpoint begins. Raises InProgress, NotInService or SameConfiguration."""
    _refuse_unless_in_service(endpoint)
    current = plan_of(endpoint)
    if current.config_name == update.plan.config_name:
        raise SameConfiguration(current.config_name)
    pending = update.plan.retaining(current, update.exclude) if update.retain else update.plan
    config = update.deployment_config
    if config is None and update.retain_deployment_config:
        config = endpoint.document.get("LastDeploymentConfig")
    document = {"Pending": pending.document(), "PendingDeploymentConfig": config, "Since": now}
    return Change(now, UPDATING, document, remove=["FailureReason"])


def rescaling(endpoint: Resource, desired: Desired, now: datetime) -> Change:
    """UpdateEndpointWeightsAndCapacities begins. Raises InProgress or NotInService, KeyError for an unknown variant."""
    _refuse_unless_in_service(endpoint)
    plan = plan_of(endpoint)
    unknown = {*desired.weights, *desired.counts} - {v.name for v in plan.variants}
    if unknown:
        raise KeyError(*sorted(unknown))
    after = plan.with_desired(desired.weights, desired.counts)
    document = {"Plan": after.document(), "Before": plan.document(), "Since": now}
    return Change(now, UPDATING, document, remove=["FailureReason"])


def in_service(endpoint: Resource, running: Mapping[str, int], now: datetime) -> Change | None:
    """What was begun is done; None when the endpoint is not in transition any more."""
    if endpoint.status not in {CREATING, UPDATING, SYSTEM_UPDATING}:
        return None
    document: dict[str, Any] = {"Running": dict(running)}
    remove = [*_OF_AN_UPDATE, "FailureReason"]
    if "Pending" in endpoint.document:
        document["Plan"] = endpoint.document["Pending"]
        config = endpoint.document["PendingDeploymentConfig"]
        if config:
            document["LastDeploymentConfig"] = config
        else:
            remove.append("LastDeploymentConfig")
    return Change(now, IN_SERVICE, document, remove)


def given_up(endpoint: Resource, running: Mapping[str, int], reason: str, now: datetime) -> Change | None:
    """An update failed, and what was there before serves on: InService, with a FailureReason, as on AWS.

    Source: https://github.com/hashicorp/terraform-provider-aws/issues/39099
    """
    if endpoint.status != UPDATING:
        return None
    document = {"FailureReason": reason[:FAILURE_REASON_LIMIT], "Running": dict(running)}
    if "Before" in endpoint.document:
        document["Plan"] = endpoint.document["Before"]
    return Change(now, IN_SERVICE, document, _OF_AN_UPDATE)


def failed(endpoint: Resource, reason: str, now: datetime) -> Change | None:
    """Nothing of it serves any more."""
    if endpoint.status in {FAILED, DELETING}:
        return None
    return Change(now, FAILED, {"FailureReason": reason[:FAILURE_REASON_LIMIT], "Running": {}}, _OF_AN_UPDATE)


def returning(endpoint: Resource, now: datetime) -> Change | None:
    """The emulator starts, and the endpoint's containers are gone: what it is until they are there again."""
    if endpoint.status == CREATING or "Pending" in endpoint.document:
        return None  # begun, and not acknowledged as done: that goes on
    return Change(now, SYSTEM_UPDATING, {"Running": {}, "Since": now}, remove=["Before"])


def _refuse_unless_in_service(endpoint: Resource) -> None:
    if endpoint.status in IN_PROGRESS:
        raise InProgress(endpoint.name)
    if endpoint.status != IN_SERVICE:
        raise NotInService(endpoint.status)
