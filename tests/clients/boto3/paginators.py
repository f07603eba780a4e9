"""Every paginator that botocore has for the given operations: page by page, whole, cut short, taken up again."""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

import boto3

COUNT, PAGE = 7, 3


def main(bucket: str, image: str, role: str, operations: list[str]) -> None:
    """Print, for each paginator, what was made and what came back."""
    client = boto3.client("sagemaker")
    prefix = f"pages-{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{number}" for number in range(COUNT)]
    arns = make(client, names, bucket, image, role)
    tags = [{"Key": f"key-{number:02}", "Value": "x"} for number in range(50)]  # as many as a resource can have
    client.add_tags(ResourceArn=arns[0], Tags=tags)
    mine = {"NameContains": prefix}
    search = {"Filters": [{"Name": "TrainingJobName", "Operator": "Contains", "Value": prefix}]}
    parameters: dict[str, tuple[dict[str, Any], str, int]] = {
        "list_models": (mine, "ModelName", PAGE),
        "list_endpoint_configs": (mine, "EndpointConfigName", PAGE),
        "list_endpoints": (mine, "EndpointName", PAGE),
        "list_training_jobs": (mine, "TrainingJobName", PAGE),
        "list_tags": ({"ResourceArn": arns[0]}, "Key", 50),
        "search": ({"Resource": "TrainingJob", "SearchExpression": search}, "TrainingJob.TrainingJobName", PAGE),
    }
    methods = client.meta.method_to_api_mapping
    found = {}
    for method in (m for m, operation in methods.items() if operation in operations and client.can_paginate(m)):
        if method not in parameters:
            sys.exit(f"no parameters for {method}")
        request, key, size = parameters[method]
        found[methods[method]] = pages(client.get_paginator(method), request, key, size)
    for name in names:
        client.delete_endpoint(EndpointName=name)
    print(json.dumps({"names": names, "tags": [tag["Key"] for tag in tags], "found": found}))


def make(client: Any, names: list[str], bucket: str, image: str, role: str) -> list[str]:
    """A model, a configuration, an endpoint and a training job of each name; returns the ARNs of the models."""
    arns = []
    for name in names:
        model = client.create_model(ModelName=name, PrimaryContainer={"Image": image}, ExecutionRoleArn=role)
        arns.append(model["ModelArn"])
        variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        client.create_training_job(
            TrainingJobName=name,
            RoleArn=role,
            AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/jobs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
    for name in names:
        settings = {"Delay": 1, "MaxAttempts": 60}
        client.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=settings)
        client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=settings)
    return arns


def pages(paginator: Any, request: dict[str, Any], key: str, size: int) -> dict[str, Any]:
    """The sizes of the pages, all values of `key`, and the same read in two parts."""
    result = paginator.result_keys[0].expression
    expression = f"{result}[].{key}"
    each = list(paginator.paginate(**request, PaginationConfig={"PageSize": size}))
    first = paginator.paginate(**request, PaginationConfig={"PageSize": size, "MaxItems": 4}).build_full_result()
    rest = paginator.paginate(**request, PaginationConfig={"PageSize": size, "StartingToken": first["NextToken"]})
    parts = [first, rest.build_full_result()]
    return {
        "sizes": [len(page[result]) for page in each],
        "all": list(paginator.paginate(**request).search(expression)),
        "parts": [[value_of(item, key) for item in part[result]] for part in parts],
    }


def value_of(item: dict[str, Any], path: str) -> Any:
    """What stands at a dotted path."""
    value: Any = item
    for name in path.split("."):
        value = value[name]
    return value


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(","))
