"""What makes a request that the model allows one that can be carried out: names of what is there, URIs that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import world
from hypothesis import strategies as st

Parameters = dict[str, Any]
NAMES = {
    "ModelName": "model",
    "EndpointConfigName": "config",
    "EndpointName": "endpoint",
    "TrainingJobName": "job",
    "TargetVariant": "A",
    "ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/model",
}


def sensible(operation: str, parameters: Parameters, draw: Callable[..., Any]) -> Parameters:
    """The parameters, made so that they name what is there; the name of what is created stays."""
    made = {k: v for k, v in parameters.items() if k != "NextToken"}
    for name, value in NAMES.items():
        if name in made and operation != f"Create{name.removesuffix('Name')}":
            made[name] = value
    if operation in _BY_OPERATION:
        _BY_OPERATION[operation](made, draw)
    return made


def _training_job(made: Parameters, draw: Callable[..., Any]) -> None:
    made["AlgorithmSpecification"] = {
        **made.get("AlgorithmSpecification", {}),
        "TrainingImage": world.IMAGE,
        "TrainingInputMode": "File",
    }
    made["AlgorithmSpecification"].pop("AlgorithmName", None)
    for metric in made["AlgorithmSpecification"].get("MetricDefinitions", ()):
        metric["Regex"] = draw(st.sampled_from([r"loss=([0-9.]+)", ".*"]))
    made["OutputDataConfig"] = {**made["OutputDataConfig"], "S3OutputPath": "s3://bucket/out"}
    made["OutputDataConfig"].pop("CompressionType", None)
    made["ResourceConfig"] = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    for index, channel in enumerate(made.get("InputDataConfig", ())):
        channel["ChannelName"] = f"channel-{index}"
        source = {"S3DataType": "S3Prefix", "S3Uri": world.DATA}
        channel["DataSource"] = {"S3DataSource": source}
        for name in ("InputMode", "RecordWrapperType", "CompressionType"):
            channel.pop(name, None)
    made.get("HyperParameters", {}).pop("", None)


def _model(made: Parameters, draw: Callable[..., Any]) -> None:
    containers = [made.get("PrimaryContainer"), *made.get("Containers", [])]
    container = next((each for each in containers if each), {})
    container |= {"Image": world.SERVING}
    container.pop("Mode", None)
    made.pop("Containers", None)
    made["PrimaryContainer"] = container


def _endpoint_config(made: Parameters, draw: Callable[..., Any]) -> None:
    for index, variant in enumerate(made["ProductionVariants"]):
        variant |= {"VariantName": f"variant-{index}", "ModelName": "model"}


_BY_OPERATION: dict[str, Callable[[Parameters, Callable[..., Any]], None]] = {
    "CreateTrainingJob": _training_job,
    "CreateModel": _model,
    "CreateEndpointConfig": _endpoint_config,
}
