"""Every waiter that botocore has for the given operations, in each of the ways in which it can end."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import uuid
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import WaiterError

QUICKLY = {"Delay": 1, "MaxAttempts": 60}


def main(bucket: str, image: str, role: str, operations: list[str]) -> None:
    """Print which acceptors of which waiter were met, and how; a waiter without a scenario is an error."""
    client = boto3.client("sagemaker")
    world = World(client, bucket, image, role)
    scenarios: dict[str, Callable[[Any], dict[str, Any]]] = {
        "endpoint_in_service": world.endpoint_in_service,
        "endpoint_deleted": world.endpoint_deleted,
        "training_job_completed_or_stopped": world.training_job_completed_or_stopped,
    }
    waiters = {name: client.get_waiter(name) for name in client.waiter_names}
    mine = {name: waiter for name, waiter in waiters.items() if waiter.config.operation in operations}
    missed = sorted(set(mine) - set(scenarios))
    if missed:
        sys.exit(f"no scenario for {missed}")
    print(
        json.dumps(
            {
                name: {
                    "acceptors": [f"{a.state}: {a.expected}" for a in waiter.config.acceptors],
                    "seen": scenarios[name](waiter),
                }
                for name, waiter in mine.items()
            }
        )
    )


class World:
    """What the waiters wait for."""

    def __init__(self, client: Any, bucket: str, image: str, role: str) -> None:
        self.client, self.bucket, self.image, self.role = client, bucket, image, role
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            words = tarfile.TarInfo("words.json")
            words.size = 2
            tar.addfile(words, io.BytesIO(b"[]"))
        boto3.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=archive.getvalue())

    def endpoint(self, **environment: str) -> str:
        """A new endpoint."""
        name = f"waiters-{uuid.uuid4().hex[:8]}"
        container = {
            "Image": self.image,
            "ModelDataUrl": f"s3://{self.bucket}/model.tar.gz",
            "Environment": environment,
        }
        self.client.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role)
        variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        self.client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    def job(self, **hyperparameters: str) -> str:
        """A new training job."""
        name = f"waiters-{uuid.uuid4().hex[:8]}"
        self.client.create_training_job(
            TrainingJobName=name,
            RoleArn=self.role,
            HyperParameters=hyperparameters,
            AlgorithmSpecification={"TrainingImage": self.image, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/jobs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        return name

    def endpoint_in_service(self, waiter: Any) -> dict[str, Any]:
        """In service, failed, not there."""
        name = self.endpoint()
        seen = {"success: InService": ended(waiter, EndpointName=name)}
        self.client.delete_endpoint(EndpointName=name)
        failing = self.endpoint(CRASH="yes")
        seen["failure: Failed"] = ended(waiter, EndpointName=failing)
        self.client.delete_endpoint(EndpointName=failing)
        seen["failure: ValidationException"] = ended(waiter, EndpointName="nowhere")
        return seen

    def endpoint_deleted(self, waiter: Any) -> dict[str, Any]:
        """Deleted; and one that is Failed instead."""
        name = self.endpoint()
        self.client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICKLY)
        self.client.delete_endpoint(EndpointName=name)
        seen = {"success: ValidationException": ended(waiter, EndpointName=name)}
        failed = self.endpoint(CRASH="yes")
        ended(self.client.get_waiter("endpoint_in_service"), EndpointName=failed)
        seen["failure: Failed"] = ended(waiter, EndpointName=failed)
        self.client.delete_endpoint(EndpointName=failed)
        return seen

    def training_job_completed_or_stopped(self, waiter: Any) -> dict[str, Any]:
        """Completed, stopped, failed, not there."""
        seen = {"success: Completed": ended(waiter, TrainingJobName=self.job())}
        stopped = self.job(hang="politely")
        self.client.stop_training_job(TrainingJobName=stopped)
        seen["success: Stopped"] = ended(waiter, TrainingJobName=stopped)
        seen["failure: Failed"] = ended(waiter, TrainingJobName=self.job(fail="on purpose"))
        seen["failure: ValidationException"] = ended(waiter, TrainingJobName="nowhere")
        return seen


def ended(waiter: Any, **parameters: str) -> str:
    """How the waiter ended: "success", or botocore's own reason."""
    try:
        waiter.wait(**parameters, WaiterConfig=QUICKLY)
    except WaiterError as error:
        return error.kwargs["reason"]
    return "success"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(","))
