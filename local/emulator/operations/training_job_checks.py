"""What CreateTrainingJob takes: the parameters that are implemented, and the rules between them that AWS has."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from emulator.errors import ValidationError
from emulator.lifecycle.training_request import DEFAULT_CHECKPOINTS, DEFAULT_MAX_RUNTIME, OPT_ML
from emulator.operations.context import Parameters
from emulator.operations.quotas import check_instances
from emulator.operations.support import Supported

CREATE = Supported(
    "CreateTrainingJob",
    works=[
        "TrainingJobName",
        "HyperParameters",
        "AlgorithmSpecification.TrainingImage",
        "AlgorithmSpecification.TrainingInputMode",
        "AlgorithmSpecification.MetricDefinitions",
        "AlgorithmSpecification.ContainerEntrypoint",
        "AlgorithmSpecification.ContainerArguments",
        "InputDataConfig[].ChannelName",
        "InputDataConfig[].InputMode",
        "InputDataConfig[].ContentType",
        "InputDataConfig[].CompressionType",
        "InputDataConfig[].RecordWrapperType",
        "InputDataConfig[].ShuffleConfig",
        "InputDataConfig[].DataSource.S3DataSource.S3DataType",
        "InputDataConfig[].DataSource.S3DataSource.S3Uri",
        "InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType",
        "InputDataConfig[].DataSource.S3DataSource.AttributeNames",
        "OutputDataConfig.S3OutputPath",
        "OutputDataConfig.CompressionType",
        "OutputDataConfig.KmsKeyId",
        "ResourceConfig.InstanceCount",
        "ResourceConfig.InstanceType",
        "StoppingCondition.MaxRuntimeInSeconds",
        "StoppingCondition.MaxWaitTimeInSeconds",
        "CheckpointConfig",
        "RetryStrategy",
        "Environment",
        "Tags",
    ],
    no_effect=[
        "RoleArn",  # there is no IAM to ask
        "ResourceConfig.VolumeSizeInGB",
        "ResourceConfig.VolumeKmsKeyId",
        "ResourceConfig.KeepAlivePeriodInSeconds",
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries",
        "StoppingCondition.MaxPendingTimeInSeconds",
        "EnableManagedSpotTraining",  # an instance here is never taken away
        "EnableInterContainerTrafficEncryption",
        "EnableNetworkIsolation",
        "VpcConfig",
        "ExperimentConfig",
        "DebugHookConfig",
        "ProfilerConfig",
        "ProfilerRuleConfigurations",
        "InfraCheckConfig",
        "SessionChainingConfig",
    ],
    notes={
        "AlgorithmSpecification.TrainingInputMode": "`FastFile` is downloaded beforehand",
        "InputDataConfig[].CompressionType": "`Gzip` with `Pipe`, as on AWS",
        "InputDataConfig[].ShuffleConfig": "with `Pipe`, as on AWS",
        "CheckpointConfig": "`LocalPath` below `/opt/ml`",
    },
)

# Below /opt/ml, but what SageMaker puts there itself, or takes from there.
_NOT_FOR_CHECKPOINTS = ("", "input", "model", "output", "code")


def check(parameters: Parameters) -> None:
    """Raise ValidationError, or NotImplementedHere, when a job cannot be made of the request."""
    CREATE.check(parameters)
    algorithm = parameters.get("AlgorithmSpecification", {})
    if "TrainingImage" not in algorithm:
        raise ValidationError("AlgorithmSpecification.TrainingImage is required.")
    for definition in algorithm.get("MetricDefinitions", ()):
        _check_regex(definition["Name"], definition["Regex"])
    _check_instances(parameters)
    if not parameters["OutputDataConfig"]["S3OutputPath"].startswith("s3://"):
        raise ValidationError("OutputDataConfig.S3OutputPath must be an S3 URI: s3://bucket/prefix.")
    _check_time(parameters)
    if "CheckpointConfig" in parameters:
        _check_checkpoints(parameters["CheckpointConfig"])
    channels = parameters.get("InputDataConfig", [])
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise ValidationError("The channel names of InputDataConfig must be unique.")
    for name in {".", ".."} & set(names):  # AWS's pattern lets them pass; a channel is a folder below input/data
        raise ValidationError(f"The channel name {name!r} cannot be the name of a folder.")
    for channel in channels:
        _check_channel(channel, channel.get("InputMode", algorithm["TrainingInputMode"]))


def _check_instances(parameters: Parameters) -> None:
    if "ResourceConfig" not in parameters:
        raise ValidationError("ResourceConfig is required.")
    resources = parameters["ResourceConfig"]
    for name in ("InstanceType", "InstanceCount"):
        if name not in resources:
            raise ValidationError(f"ResourceConfig.{name} is required.")
    if resources["InstanceCount"] < 1:
        raise ValidationError(
            f"1 validation error detected: Value '{resources['InstanceCount']}' at 'resourceConfig.instanceCount' "
            "failed to satisfy constraint: Member must have value greater than or equal to 1"
        )
    check_instances("training job", resources["InstanceType"], 0, resources["InstanceCount"])


def _check_time(parameters: Parameters) -> None:
    condition = parameters.get("StoppingCondition", {})
    wait = condition.get("MaxWaitTimeInSeconds")
    if not parameters.get("EnableManagedSpotTraining", False):
        if wait is not None:
            # AWS's words: https://github.com/Kenza-AI/sagify/issues/111 (2020)
            raise ValidationError(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
            )
    elif wait is None or wait < condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME):
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_checkpoints(config: Mapping[str, str]) -> None:
    path = config.get("LocalPath", DEFAULT_CHECKPOINTS)
    normal = posixpath.normpath(path)
    if normal != OPT_ML and not normal.startswith(f"{OPT_ML}/"):
        # In the venv engine a program has no folders of its own but this one.
        raise CREATE.refusal("CheckpointConfig.LocalPath", path)
    if normal.removeprefix(OPT_ML).lstrip("/").partition("/")[0] in _NOT_FOR_CHECKPOINTS:
        raise ValidationError(f"CheckpointConfig.LocalPath: {path} is a folder of SageMaker's own; name another.")


def _check_channel(channel: Mapping[str, Any], mode: str) -> None:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise ValidationError(f"The channel {name!r} needs a DataSource.S3DataSource.")
    kind = source["S3DataType"]
    if kind == "Converse":
        raise CREATE.refusal("InputDataConfig[].DataSource.S3DataSource.S3DataType", kind)
    if mode != "Pipe":
        # AWS's words: https://github.com/aws/sagemaker-python-sdk/issues/716 (2019)
        for parameter, what in (("CompressionType", "compression"), ("RecordWrapperType", "record wrapper")):
            if channel.get(parameter, "None") != "None":
                raise ValidationError(
                    f"Invalid {what} type for channel {name}: {mode} mode only supports NONE, "
                    f"got {channel[parameter]} instead"
                )
        if kind == "AugmentedManifestFile":
            raise ValidationError(f"Channel {name}: AugmentedManifestFile can only be used in Pipe input mode.")
    if (kind == "AugmentedManifestFile") != bool(source.get("AttributeNames")):
        raise ValidationError(f"Channel {name}: AttributeNames go with AugmentedManifestFile, and it needs some.")


def _check_regex(name: str, regex: str) -> None:
    try:
        re.compile(regex)
    except re.error as error:
        raise ValidationError(f"The Regex of the metric definition {name!r} is not valid: {error}.") from None
