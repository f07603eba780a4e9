"""What a training job's stored document asks for, in the terms of the engine and of the container contract. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator import opt_ml
from emulator.engine.port import Network, Work
from emulator.lifecycle.training_host import host_names
from emulator.store.port import Resource

DEFAULT_MAX_RUNTIME = 86_400  # AWS's default of MaxRuntimeInSeconds
OPT_ML = "/opt/ml"
DEFAULT_CHECKPOINTS = f"{OPT_ML}/checkpoints"  # AWS's default of CheckpointConfig.LocalPath


def image(job: Resource) -> str:
    """The URI of the image."""
    uri: str = job.document["AlgorithmSpecification"]["TrainingImage"]
    return uri


def hosts(job: Resource) -> tuple[str, ...]:
    """The names of its hosts."""
    return host_names(job.document["ResourceConfig"].get("InstanceCount", 1))


def instance_type(job: Resource) -> str:
    """The type of its hosts; may be empty."""
    found: str = job.document["ResourceConfig"].get("InstanceType", "")
    return found


def channels(job: Resource) -> Sequence[Mapping[str, Any]]:
    """The elements of InputDataConfig, each with the InputMode that holds for it."""
    mode = job.document["AlgorithmSpecification"]["TrainingInputMode"]
    return [{"InputMode": mode, **channel} for channel in job.document.get("InputDataConfig", ())]


def max_runtime(job: Resource) -> float:
    """Seconds that it may run, all attempts together."""
    return float(job.document.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME))


def max_wait(job: Resource) -> float | None:
    """Seconds from its creation within which it has to end; a managed spot job has that."""
    found: float | None = job.document.get("StoppingCondition", {}).get("MaxWaitTimeInSeconds")
    return found


def retries(job: Resource) -> int:
    """How often it may be tried again after an internal error."""
    found: int = job.document.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
    return found


def output_uri(job: Resource, name: str) -> str:
    """Where an artifact of the job goes: S3OutputPath/JOB/output/NAME."""
    path: str = job.document["OutputDataConfig"]["S3OutputPath"]
    return f"{path.rstrip('/')}/{job.name}/output/{name}"


def compressed(job: Resource) -> bool:
    """Whether the model becomes an archive, or stays the files that it is."""
    return bool(job.document["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP")


def model_uri(job: Resource) -> str:
    """Where its model is to be found: an archive, or a prefix."""
    return output_uri(job, "model.tar.gz" if compressed(job) else "model/")


def kms_key(job: Resource) -> str:
    """The key for its artifacts; empty for none."""
    key: str = job.document["OutputDataConfig"].get("KmsKeyId", "")
    return key


def checkpoints(job: Resource) -> tuple[str, str] | None:
    """The S3 URI of its checkpoints, and their folder below /opt/ml; None when it keeps none."""
    config = job.document.get("CheckpointConfig")
    if config is None:
        return None
    local = config.get("LocalPath", DEFAULT_CHECKPOINTS)
    return config["S3Uri"], posixpath.relpath(local, OPT_ML)


def training_spec(job: Resource, host: str, network_interface: str) -> opt_ml.TrainingSpec:
    """What a host's container is told."""
    return opt_ml.TrainingSpec(
        hyperparameters=job.document.get("HyperParameters", {}),
        channels=channels(job),
        hosts=hosts(job),
        current_host=host,
        instance_type=instance_type(job),
        network_interface=network_interface,
    )


def work(job: Resource, host: str, base: Path, network: Network, environment: Mapping[str, str]) -> Work:
    """What a host's container runs; `environment` is what every container here gets, the job cannot change it."""
    algorithm = job.document["AlgorithmSpecification"]
    return Work(
        f"training-job/{job.name}/{host}",
        image(job),
        "train",
        base,
        host,
        {
            **job.document.get("Environment", {}),
            "TRAINING_JOB_NAME": job.name,
            "TRAINING_JOB_ARN": job.arn,
            **environment,
        },
        network,
        instance_type(job),
        tuple(algorithm.get("ContainerEntrypoint", ())),
        tuple(algorithm.get("ContainerArguments", ())),
    )
