"""CreateModel, DescribeModel, DeleteModel, ListModels."""

from __future__ import annotations

from typing import Any

from emulator.errors import ValidationError
from emulator.operations.context import Answer, Context, Parameters, existing, missing, tags_of
from emulator.operations.paging import list_page
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound

_SOURCE = "ModelDataSource.S3DataSource"
_WORKS = ["Image", "ModelDataUrl", "Environment", "Mode", "ContainerHostname"]
_WORKS += [f"{_SOURCE}.{name}" for name in ("S3Uri", "S3DataType", "CompressionType")]
_NO_EFFECT = ["ImageConfig", "MultiModelConfig", f"{_SOURCE}.ModelAccessConfig"]

CREATE = Supported(
    "CreateModel",
    works=[
        "ModelName",
        "Tags",
        "InferenceExecutionConfig",
        *(f"PrimaryContainer.{name}" for name in _WORKS),
        *(f"Containers[].{name}" for name in _WORKS),
    ],
    no_effect=[
        "ExecutionRoleArn",
        "VpcConfig",
        "EnableNetworkIsolation",
        *(f"PrimaryContainer.{name}" for name in _NO_EFFECT),
        *(f"Containers[].{name}" for name in _NO_EFFECT),
    ],
    notes={
        "PrimaryContainer.Mode": "`SingleModel`, `MultiModel`",
        "Containers[].Mode": "`SingleModel`, or `MultiModel` of one alone",
        "InferenceExecutionConfig": "`Serial`, `Direct`",
    },
)


def create_model(context: Context, parameters: Parameters) -> Answer:
    """Store the model; whether its images and data can be had shows when an endpoint needs them."""
    CREATE.check(parameters)
    _check_containers(parameters)
    document = {k: v for k, v in parameters.items() if k != "Tags"}
    model = context.new(Kind.MODEL, parameters["ModelName"], document)
    try:
        context.store.create(model, tags_of(parameters))
    except NameTaken:
        raise existing(Kind.MODEL, model.arn) from None
    return {"ModelArn": model.arn}


def describe_model(context: Context, parameters: Parameters) -> Answer:
    """The request with AWS's defaults, and the time of creation."""
    model = context.find(Kind.MODEL, parameters["ModelName"])
    answer: Answer = {
        "EnableNetworkIsolation": False,
        **model.document,
        "ModelArn": model.arn,
        "CreationTime": model.created,
    }
    if "PrimaryContainer" in answer:
        answer["PrimaryContainer"] = {"Mode": "SingleModel", **answer["PrimaryContainer"]}
    if "Containers" in answer:
        answer["Containers"] = [{"Mode": "SingleModel", **container} for container in answer["Containers"]]
    return answer


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


def _check_containers(model: Parameters) -> None:
    """Raise ValidationError for containers that make no sense together."""
    primary, containers = model.get("PrimaryContainer"), model.get("Containers", [])
    if primary is not None and containers:
        raise ValidationError("A model has either a PrimaryContainer or Containers, not both.")
    if primary is None and not containers:
        raise ValidationError("A model needs a PrimaryContainer or Containers.")
    for container in containers or [primary]:
        _check_container(container)
    if len(containers) > 1:
        _check_pipeline(model, containers)
    elif "InferenceExecutionConfig" in model:
        raise ValidationError("InferenceExecutionConfig goes with models of several containers.")


def _check_container(container: dict[str, Any]) -> None:
    if "Image" not in container:
        raise ValidationError("A container needs an Image.")
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is not None and "ModelDataUrl" in container:
        raise ValidationError("A container has either a ModelDataUrl or a ModelDataSource, not both.")
    if source is not None and source["S3DataType"] == "S3Prefix" and not source["S3Uri"].endswith("/"):
        # The member's own documentation: "the key name prefix … must end with a forward slash".
        raise ValidationError(
            f'S3Uri {source["S3Uri"]} of an S3DataSource of S3DataType S3Prefix must end with a forward slash "/".'
        )
    if container.get("Mode") == "MultiModel" and source is None and "ModelDataUrl" not in container:
        raise ValidationError("A container of Mode MultiModel needs a ModelDataUrl, the S3 prefix of its models.")
    if container.get("Mode") == "MultiModel" and source is not None and source["CompressionType"] != "None":
        raise ValidationError("The models of a container of Mode MultiModel are below an S3Prefix, not compressed.")


def _check_pipeline(model: Parameters, containers: list[dict[str, Any]]) -> None:
    if any(c.get("Mode") == "MultiModel" for c in containers):
        # AWS's own text: https://github.com/OElesin/sagemaker-autopilot-step-functions/issues/10
        raise ValidationError("More than one container in MultiModel mode is not supported with inference pipeline.")
    names = [c["ContainerHostname"] for c in containers if "ContainerHostname" in c]
    if len(set(names)) < len(names):
        raise ValidationError("The ContainerHostnames of a model's Containers must be unique.")
    direct = model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct"
    if direct and len(names) < len(containers):
        raise ValidationError("Containers that are invoked directly need a ContainerHostname each.")
