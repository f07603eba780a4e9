"""CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob."""

from __future__ import annotations

import re
from typing import Any

from emulator.errors import ResourceInUse, ValidationError
from emulator.lifecycle import training_states as states
from emulator.lifecycle.training_run import DEFAULT_MAX_RUNTIME, artifact_uri
from emulator.operations.context import Answer, Context, Parameters, missing, tags_of
from emulator.operations.paging import list_page
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound, Resource

CREATE = Supported(
    "CreateTrainingJob",
    works=[
        "TrainingJobName",
        "HyperParameters",
        "AlgorithmSpecification.TrainingImage",
        "AlgorithmSpecification.TrainingInputMode",
        "AlgorithmSpecification.MetricDefinitions",
        "InputDataConfig[].ChannelName",
        "InputDataConfig[].InputMode",
        "InputDataConfig[].ContentType",
        "InputDataConfig[].CompressionType",
        "InputDataConfig[].RecordWrapperType",
        "InputDataConfig[].DataSource.S3DataSource.S3DataType",
        "InputDataConfig[].DataSource.S3DataSource.S3Uri",
        "InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType",
        "OutputDataConfig.S3OutputPath",
        "OutputDataConfig.CompressionType",
        "ResourceConfig.InstanceCount",
        "ResourceConfig.InstanceType",
        "StoppingCondition.MaxRuntimeInSeconds",
        "Environment",
        "Tags",
    ],
    no_effect=[
        "RoleArn",  # there is no IAM to ask
        "OutputDataConfig.KmsKeyId",
        "ResourceConfig.VolumeSizeInGB",
        "ResourceConfig.VolumeKmsKeyId",
        "ResourceConfig.KeepAlivePeriodInSeconds",
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries",
        "StoppingCondition.MaxWaitTimeInSeconds",
        "StoppingCondition.MaxPendingTimeInSeconds",
        "EnableManagedSpotTraining",  # an instance here is never taken away
        "EnableInterContainerTrafficEncryption",
        "EnableNetworkIsolation",
        "VpcConfig",
        "RetryStrategy",
        "ExperimentConfig",
        "DebugHookConfig",
        "ProfilerConfig",
        "ProfilerRuleConfigurations",
        "InfraCheckConfig",
        "SessionChainingConfig",
    ],
    notes={
        "AlgorithmSpecification.TrainingInputMode": "`File`; `FastFile` is downloaded beforehand",
        "InputDataConfig[].CompressionType": "`None`",
        "InputDataConfig[].RecordWrapperType": "`None`",
        "InputDataConfig[].DataSource.S3DataSource.S3DataType": "`S3Prefix`, `ManifestFile`",
        "OutputDataConfig.CompressionType": "`GZIP`",
    },
)

LIST = Supported(
    "ListTrainingJobs",
    works=[
        "NextToken",
        "MaxResults",
        "CreationTimeAfter",
        "CreationTimeBefore",
        "LastModifiedTimeAfter",
        "LastModifiedTimeBefore",
        "NameContains",
        "StatusEquals",
        "SortBy",
        "SortOrder",
    ],
)

# Of a parameter that is implemented, the values that are not: path -> those that are.
_VALUES = {
    "TrainingInputMode": {"File", "FastFile"},  # FastFile: the same files, downloaded beforehand
    "RecordWrapperType": {"None"},
    "S3DataType": {"S3Prefix", "ManifestFile"},
}

_REQUEST_ONLY = frozenset({"Tags", "SessionChainingConfig"})
_DEFAULTS = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}


def create_training_job(context: Context, parameters: Parameters) -> Answer:
    """Store the job, then start it."""
    CREATE.check(parameters)
    _check_values(parameters)
    name = parameters["TrainingJobName"]
    document = {k: v for k, v in parameters.items() if k not in _REQUEST_ONLY}
    document |= states.beginning(context.clock.now())
    job = context.new(Kind.TRAINING_JOB, name, document, states.IN_PROGRESS)
    try:
        context.store.create(job, tags_of(parameters))
    except NameTaken:
        raise ResourceInUse(
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({job.arn})"
        ) from None
    context.training_jobs.start(name)
    return {"TrainingJobArn": job.arn}


def describe_training_job(context: Context, parameters: Parameters) -> Answer:
    """The request, completed with AWS's defaults, and the state of the job."""
    return description(context.settled(Kind.TRAINING_JOB, parameters["TrainingJobName"], states.UNFINISHED))


def description(job: Resource) -> Answer:
    """What Describe shows of a job."""
    stopping = {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME, **job.document.get("StoppingCondition", {})}
    answer = {
        **_DEFAULTS,
        **job.document,
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "TrainingJobStatus": job.status,
        "StoppingCondition": stopping,
        "CreationTime": job.created,
        "LastModifiedTime": job.modified,
        "InputDataConfig": [_channel_with_defaults(c) for c in job.document.get("InputDataConfig", ())],
        # AWS names them from the start, not only when they are there.
        "ModelArtifacts": {"S3ModelArtifacts": artifact_uri(job, "model.tar.gz")},
    }
    if not answer["InputDataConfig"]:
        del answer["InputDataConfig"]
    if "ProfilerConfig" in answer:
        answer["ProfilingStatus"] = "Disabled"  # nothing profiles here
    return answer


def list_training_jobs(context: Context, parameters: Parameters) -> Answer:
    """One page of summaries.

    AWS's page contradicts itself: the default of SortOrder is "Ascending", but a request without one is sorted "from the
    most current to the oldest" (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListTrainingJobs.html).
    The latter can be tried with the command that it shows, and is what the other lists do.
    """
    LIST.check(parameters)
    jobs, token = list_page(
        context.store, context.tokens, Kind.TRAINING_JOB, parameters, descending=True, status_at_last=True
    )
    return {"TrainingJobSummaries": [_summary(job) for job in jobs], **token}


def stop_training_job(context: Context, parameters: Parameters) -> Answer:
    """Turn it Stopping; stopping what is Stopping already is no error, what has ended is one."""
    name = parameters["TrainingJobName"]
    try:
        job = context.training_jobs.stop(name)
    except NotFound:
        raise missing(Kind.TRAINING_JOB, context.arn(Kind.TRAINING_JOB, name)) from None
    if job.status != states.STOPPING:
        raise ValidationError(f"The request was rejected because the training job is in status {job.status}.")
    return {}


def _summary(job: Resource) -> dict[str, Any]:
    summary = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.created,
        "LastModifiedTime": job.modified,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.document["SecondaryStatus"],
    }
    if "TrainingEndTime" in job.document:
        summary["TrainingEndTime"] = job.document["TrainingEndTime"]
    return summary


def _channel_with_defaults(channel: dict[str, Any]) -> dict[str, Any]:
    source = {"S3DataDistributionType": "FullyReplicated", **channel["DataSource"]["S3DataSource"]}
    return {
        "CompressionType": "None",
        "RecordWrapperType": "None",
        **channel,
        "DataSource": {"S3DataSource": source},
    }


def _check_values(parameters: Parameters) -> None:
    algorithm = parameters.get("AlgorithmSpecification", {})
    if "TrainingImage" not in algorithm:
        raise ValidationError("AlgorithmSpecification.TrainingImage is required.")
    if "ResourceConfig" not in parameters:
        raise ValidationError("ResourceConfig is required.")
    if not parameters["OutputDataConfig"]["S3OutputPath"].startswith("s3://"):
        raise ValidationError("OutputDataConfig.S3OutputPath must be an S3 URI: s3://bucket/prefix.")
    if parameters["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise CREATE.refusal("OutputDataConfig.CompressionType", "NONE")
    _check_value("AlgorithmSpecification.TrainingInputMode", "TrainingInputMode", algorithm["TrainingInputMode"])
    for definition in algorithm.get("MetricDefinitions", ()):
        _check_regex(definition["Name"], definition["Regex"])
    _check_channels(parameters.get("InputDataConfig", []))


def _check_channels(channels: list[dict[str, Any]]) -> None:
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise ValidationError("The channel names of InputDataConfig must be unique.")
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise ValidationError(f"The channel {channel['ChannelName']!r} needs a DataSource.S3DataSource.")
        path = "InputDataConfig[]"
        _check_value(f"{path}.InputMode", "TrainingInputMode", channel.get("InputMode", "File"))
        _check_value(f"{path}.RecordWrapperType", "RecordWrapperType", channel.get("RecordWrapperType", "None"))
        _check_value(f"{path}.DataSource.S3DataSource.S3DataType", "S3DataType", source["S3DataType"])


def _check_value(path: str, name: str, value: str) -> None:
    if value not in _VALUES[name]:
        raise CREATE.refusal(path, value)


def _check_regex(name: str, regex: str) -> None:
    try:
        re.compile(regex)
    except re.error as error:
        raise ValidationError(f"The Regex of the metric definition {name!r} is not valid: {error}.") from None
