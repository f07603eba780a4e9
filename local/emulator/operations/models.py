"""CreateModel, DescribeModel, DeleteModel, ListModels."""

from __future__ import annotations

from typing import Any

from emulator.errors import ValidationError
from emulator.operations.context import Answer, Context, Parameters, existing, missing, tags_of
from emulator.operations.paging import list_page
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound

_CONTAINER = ["Image", "ModelDataUrl", "Environment", "Mode"]

CREATE = Supported(
    "CreateModel",
    works=[
        "ModelName",
        "Tags",
        *(f"PrimaryContainer.{name}" for name in _CONTAINER),
        *(f"Containers[].{name}" for name in _CONTAINER),
    ],
    no_effect=[
        "ExecutionRoleArn",
        "VpcConfig",
        "EnableNetworkIsolation",
        "PrimaryContainer.ContainerHostname",
        "Containers[].ContainerHostname",
    ],
    notes={"Containers[].Image": "one container", "PrimaryContainer.Mode": "`SingleModel`"},
)


def create_model(context: Context, parameters: Parameters) -> Answer:
    """Store the model; whether its image and data can be had shows when an endpoint needs them."""
    CREATE.check(parameters)
    container_of(parameters)
    document = {k: v for k, v in parameters.items() if k != "Tags"}
    model = context.new(Kind.MODEL, parameters["ModelName"], document)
    try:
        context.store.create(model, tags_of(parameters))
    except NameTaken:
        raise existing(Kind.MODEL, model.arn) from None
    return {"ModelArn": model.arn}


def describe_model(context: Context, parameters: Parameters) -> Answer:
    """The request and the time of creation."""
    model = context.find(Kind.MODEL, parameters["ModelName"])
    return {
        "EnableNetworkIsolation": False,
        **model.document,
        "ModelArn": model.arn,
        "CreationTime": model.created,
    }


def delete_model(context: Context, parameters: Parameters) -> Answer:
    """Remove it; endpoints that serve it go on, as on AWS."""
    model = context.find(Kind.MODEL, parameters["ModelName"])
    try:
        context.store.delete(model)
    except NotFound:
        raise missing(Kind.MODEL, model.arn) from None
    return {}


def list_models(context: Context, parameters: Parameters) -> Answer:
    """One page of summaries."""
    models, token = list_page(context.store, context.tokens, Kind.MODEL, parameters, descending=True)
    summaries = [{"ModelName": m.name, "ModelArn": m.arn, "CreationTime": m.created} for m in models]
    return {"Models": summaries, **token}


def container_of(model: Parameters) -> dict[str, Any]:
    """The one container of a model. Raises NotImplementedHere for several, ValidationError for none."""
    containers = model.get("Containers", [])
    if "PrimaryContainer" in model and containers:
        raise ValidationError("A model has either a PrimaryContainer or Containers, not both.")
    if len(containers) > 1:
        raise CREATE.refusal("Containers", f"{len(containers)} containers (an inference pipeline)")
    container: dict[str, Any] | None = model.get("PrimaryContainer") or (containers[0] if containers else None)
    if container is None or "Image" not in container:
        raise ValidationError("A model needs a PrimaryContainer with an Image.")
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise CREATE.refusal("PrimaryContainer.Mode", container["Mode"])
    return container
