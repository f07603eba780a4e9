"""Errors as boto3 raises them: its own classes, AWS's codes and words, and what is tried again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def main(bucket: str, image: str, role: str) -> None:
    """Print each error."""
    client = boto3.client("sagemaker")
    job = {
        "TrainingJobName": f"{bucket}-job",
        "RoleArn": role,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    client.create_training_job(**job)
    calls: dict[str, Callable[[], Any]] = {
        "name taken": lambda: client.create_training_job(**job),
        "no such job": lambda: client.describe_training_job(TrainingJobName="nowhere"),
        "no such job to stop": lambda: client.stop_training_job(TrainingJobName="nowhere"),
        "no such endpoint": lambda: client.describe_endpoint(EndpointName="nowhere"),
        "no such model": lambda: client.delete_model(ModelName="nowhere"),
        "bad name": lambda: client.create_model(ModelName="not_allowed", PrimaryContainer={"Image": image}),
        "bad token": lambda: client.list_models(NextToken="made-up"),
        "not there": lambda: client.create_notebook_instance(
            NotebookInstanceName="a", InstanceType="ml.t3.medium", RoleArn=role
        ),
        "wrong key": lambda: boto3.client(
            "sagemaker", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="another"
        ).list_models(),
        "other service": lambda: boto3.client("dynamodb").list_tables(),
        "no endpoint to invoke": lambda: boto3.client("sagemaker-runtime").invoke_endpoint(
            EndpointName="nowhere", Body=b""
        ),
    }
    retries = {}
    for mode in ("legacy", "standard", "adaptive"):
        patient = boto3.client("sagemaker", config=Config(retries={"mode": mode, "total_max_attempts": 5}))
        retries[mode] = error(lambda: patient.describe_endpoint(EndpointName="nowhere"))["retries"]  # noqa: B023
    print(json.dumps({"errors": {name: error(call) for name, call in calls.items()}, "retries": retries}))


def error(call: Callable[[], Any]) -> dict[str, Any]:
    """The error of a call that must fail."""
    try:
        call()
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        return {
            "class": type(error).__name__,
            "code": error.response["Error"]["Code"],
            "message": error.response["Error"]["Message"],
            "status": metadata["HTTPStatusCode"],
            "retries": metadata["RetryAttempts"],
            "request_id": metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"],
        }
    sys.exit("a call that must fail did not")


if __name__ == "__main__":
    main(*sys.argv[1:4])
