"""CreateEndpoint, DescribeEndpoint, DeleteEndpoint, ListEndpoints."""

from __future__ import annotations

from typing import Any

from emulator.errors import ValidationError
from emulator.lifecycle.deployment import variant_summary
from emulator.lifecycle.hosting import CREATING, InProgress
from emulator.operations.context import Answer, Context, Parameters, existing, missing, tags_of
from emulator.operations.models import container_of
from emulator.operations.paging import list_page
from emulator.operations.quotas import check_instances
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound

CREATE = Supported("CreateEndpoint", works=["EndpointName", "EndpointConfigName", "Tags"])

_IN_TRANSITION = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_DESCRIBED = ("EndpointConfigName", "FailureReason")


def create_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Store the endpoint, then bring it into service.

    Configuration and models are copied into it: they may be deleted while it serves, as on AWS.
    """
    CREATE.check(parameters)
    config = context.find(Kind.ENDPOINT_CONFIG, parameters["EndpointConfigName"])
    deployment = []
    for variant in config.document["ProductionVariants"]:
        model = context.find(Kind.MODEL, variant["ModelName"])
        deployment.append({"Variant": variant, "Container": container_of(model.document)})
    variants = config.document["ProductionVariants"]
    total = sum(variant["InitialInstanceCount"] for variant in variants)
    check_instances("endpoint", variants[0].get("InstanceType", "instances"), 0, total)
    now = context.clock.now()
    document = {
        "EndpointConfigName": config.name,
        "Deployment": deployment,
        "ProductionVariants": [variant_summary(d["Variant"], d["Container"], 0, now) for d in deployment],
    }
    endpoint = context.new(Kind.ENDPOINT, parameters["EndpointName"], document, CREATING)
    try:
        context.store.create(endpoint, tags_of(parameters))
    except NameTaken:
        raise existing(Kind.ENDPOINT, endpoint.arn) from None
    context.endpoints.start(endpoint.name)
    return {"EndpointArn": endpoint.arn}


def describe_endpoint(context: Context, parameters: Parameters) -> Answer:
    """The endpoint's state; while it is Creating AWS shows no variants."""
    endpoint = context.settled(Kind.ENDPOINT, parameters["EndpointName"], _IN_TRANSITION)
    answer: dict[str, Any] = {k: endpoint.document[k] for k in _DESCRIBED if k in endpoint.document}
    if endpoint.status != CREATING:
        answer["ProductionVariants"] = endpoint.document["ProductionVariants"]
    return {
        **answer,
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
    }


def delete_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Turn it Deleting; it is gone once its containers have ended."""
    name = parameters["EndpointName"]
    arn = context.arn(Kind.ENDPOINT, name)
    try:
        context.endpoints.delete(name)
    except NotFound:
        raise missing(Kind.ENDPOINT, arn) from None
    except InProgress:
        raise ValidationError(f'Cannot update in-progress endpoint "{arn}".') from None
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
