"""The operations on endpoints but for invoking them: create, update, describe, delete, list."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.errors import ApiError, ValidationError
from emulator.lifecycle import endpoint_record
from emulator.lifecycle.endpoint_record import CREATING, Desired, InProgress, NotInService, SameConfiguration, Update
from emulator.lifecycle.plan import Plan
from emulator.operations.context import Answer, Context, Parameters, existing, missing, tags_of
from emulator.operations.endpoint_description import description
from emulator.operations.paging import list_page
from emulator.operations.quotas import check_instances
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound, Resource

CREATE = Supported(
    "CreateEndpoint", works=["EndpointName", "EndpointConfigName", "Tags"], no_effect=["DeploymentConfig"]
)
UPDATE = Supported(
    "UpdateEndpoint",
    works=[
        "EndpointName",
        "EndpointConfigName",
        "RetainAllVariantProperties",
        "ExcludeRetainedVariantProperties",
        "RetainDeploymentConfig",
    ],
    no_effect=["DeploymentConfig"],
    notes={"DeploymentConfig": "all traffic goes over at once, when all new instances are healthy"},
)
_DESIRED = "DesiredWeightsAndCapacities"
RESCALE = Supported(
    "UpdateEndpointWeightsAndCapacities",
    works=["EndpointName", *(f"{_DESIRED}[].{n}" for n in ("VariantName", "DesiredWeight", "DesiredInstanceCount"))],
)


def create_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Store the endpoint, then bring it into service."""
    CREATE.check(parameters)
    plan = _plan(context, parameters["EndpointConfigName"])
    document = endpoint_record.new(plan, context.clock.now(), parameters.get("DeploymentConfig"))
    endpoint = context.new(Kind.ENDPOINT, parameters["EndpointName"], document, CREATING)
    try:
        context.store.create(endpoint, tags_of(parameters))
    except NameTaken:
        raise existing(Kind.ENDPOINT, endpoint.arn) from None
    context.endpoints.start(endpoint.name)
    return {"EndpointArn": endpoint.arn}


def update_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Turn it Updating; what it serves now serves until the new deployment is ready, and on when that fails."""
    UPDATE.check(parameters)
    endpoint = context.find(Kind.ENDPOINT, parameters["EndpointName"])
    update = Update(
        _plan(context, parameters["EndpointConfigName"]),
        retain=parameters.get("RetainAllVariantProperties", False),
        exclude=[p["VariantPropertyType"] for p in parameters.get("ExcludeRetainedVariantProperties", [])],
        deployment_config=parameters.get("DeploymentConfig"),
        retain_deployment_config=parameters.get("RetainDeploymentConfig", False),
    )
    try:
        context.endpoints.update(endpoint.name, update)
    except (NotFound, InProgress, NotInService, SameConfiguration) as error:
        raise _refused(endpoint, error) from None
    return {"EndpointArn": endpoint.arn}


def update_endpoint_weights_and_capacities(context: Context, parameters: Parameters) -> Answer:
    """Turn it Updating; the weights count at once, instances come and go."""
    RESCALE.check(parameters)
    endpoint = context.find(Kind.ENDPOINT, parameters["EndpointName"])
    variants = parameters[_DESIRED]
    names = [v["VariantName"] for v in variants]
    if len(set(names)) < len(names):
        raise ValidationError("The names of the DesiredWeightsAndCapacities must be unique.")
    desired = Desired(
        {v["VariantName"]: float(v["DesiredWeight"]) for v in variants if "DesiredWeight" in v},
        {v["VariantName"]: v["DesiredInstanceCount"] for v in variants if "DesiredInstanceCount" in v},
    )
    _check_counts(endpoint, desired)
    try:
        context.endpoints.rescale(endpoint.name, desired)
    except (NotFound, InProgress, NotInService, KeyError) as error:
        raise _refused(endpoint, error) from None
    return {"EndpointArn": endpoint.arn}


def describe_endpoint(context: Context, parameters: Parameters) -> Answer:
    """The endpoint's state, or what it becomes within a few seconds when it is in between."""
    return description(context.settled(Kind.ENDPOINT, parameters["EndpointName"], endpoint_record.IN_PROGRESS))


def delete_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Turn it Deleting; it is gone once its containers have ended."""
    endpoint = context.find(Kind.ENDPOINT, parameters["EndpointName"])
    try:
        context.endpoints.delete(endpoint.name)
    except (NotFound, InProgress) as error:
        raise _refused(endpoint, error) from None
    return {}


def list_endpoints(context: Context, parameters: Parameters) -> Answer:
    """One page of summaries."""
    endpoints, token = list_page(context.store, context.tokens, Kind.ENDPOINT, parameters, descending=True)
    summaries = [
        {
            "EndpointName": e.name,
            "EndpointArn": e.arn,
            "EndpointStatus": e.status,
            "CreationTime": e.created,
            "LastModifiedTime": e.modified,
        }
        for e in endpoints
    ]
    return {"Endpoints": summaries, **token}


def _plan(context: Context, config_name: str) -> Plan:
    """Configuration and models, copied: they may be deleted while the endpoint serves, as on AWS."""
    config = context.find(Kind.ENDPOINT_CONFIG, config_name)
    names = {variant["ModelName"] for variant in config.document["ProductionVariants"]}
    plan = Plan.of(config.name, config.document, {name: context.find(Kind.MODEL, name).document for name in names})
    _check_quota(plan, {})
    return plan


def _check_counts(endpoint: Resource, desired: Desired) -> None:
    plan = endpoint_record.plan_of(endpoint)
    _check_quota(plan, desired.counts)
    serverless = [v.name for v in plan.variants if v.serverless and v.name in desired.counts]
    if serverless:
        raise ValidationError(f"The variant {serverless[0]} is serverless: it has no DesiredInstanceCount.")
    # An asynchronous endpoint may be scaled to no instances at all.
    if not plan.async_config and 0 in desired.counts.values():
        raise ValidationError("DesiredInstanceCount must be at least 1 for endpoints that are not asynchronous.")


def _check_quota(plan: Plan, counts: Mapping[str, int]) -> None:
    wanted = sum(counts.get(variant.name, variant.count) for variant in plan.variants)
    check_instances("endpoint", plan.variants[0].config.get("InstanceType", "instances"), 0, wanted)


def _refused(endpoint: Resource, error: Exception) -> ApiError:
    if isinstance(error, NotFound):
        return missing(Kind.ENDPOINT, endpoint.arn)
    if isinstance(error, InProgress):
        # AWS says so of updates and of deletion, in every status that is in between.
        return ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    if isinstance(error, SameConfiguration):
        return ValidationError("Cannot update endpoint with the currently in use endpoint configuration.")
    if isinstance(error, KeyError):
        names = ", ".join(f'"{name}"' for name in error.args)
        config = endpoint_record.plan_of(endpoint).config_name
        return ValidationError(
            f'The variant name(s) {names} is/are not present within Endpoint configuration "{config}".'
        )
    # "DeleteEndpoint is the only operation that can be performed on a failed endpoint": DescribeEndpoint's reference.
    return ValidationError(f'Cannot update endpoint "{endpoint.arn}" in status {error}.')
