"""From data to predictions with boto3 alone: upload, train, deploy, invoke, presigned URLs, remove."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

QUICKLY = {"Delay": 1, "MaxAttempts": 60}


def main(bucket: str, image: str, role: str) -> None:
    """Print what came out of each."""
    name = f"boto3-{uuid.uuid4().hex[:8]}"
    sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3", config=Config(signature_version="s3v4"))
    model = train(sagemaker, name, bucket, image, role)
    container = {"Image": image, "ModelDataUrl": model, "Environment": {"GREETING": "hello"}}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICKLY)
    result = {
        "invoked": invoke(name),
        "presigned": presigned(s3, bucket),
        "lines": lines(boto3.client("logs"), name),
    }
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=QUICKLY)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    left = [
        sagemaker.list_models(NameContains=name)["Models"],
        sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"],
        sagemaker.list_endpoints(NameContains=name)["Endpoints"],
    ]
    print(json.dumps({**result, "left": left}))


def train(sagemaker: Any, name: str, bucket: str, image: str, role: str) -> str:
    """A training job on the objects below words/; returns where its model is."""
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/words/"}
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=role,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=QUICKLY)
    return sagemaker.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"]


def invoke(name: str) -> dict[str, Any]:
    """The body whole, in pieces, by lines, half-read, as a stream of events; the model's error; several at once."""
    runtime = boto3.client("sagemaker-runtime")

    def call(body: bytes) -> Any:
        return runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType="text/plain", Accept="application/json", CustomAttributes="a=b"
        )

    answer = call(b"one")
    whole = answer["Body"].read()
    pieces = b"".join(call(b"one")["Body"].iter_chunks(7))
    lines = list(call(b"one")["Body"].iter_lines())
    half = call(b"one")["Body"]
    half.read(5)
    half.close()
    stream = runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=b"piece")
    streamed = b"".join(event["PayloadPart"]["Bytes"] for event in stream["Body"])
    try:
        call(b"refuse")
    except runtime.exceptions.ModelError as error:
        refused = {key: error.response[key] for key in ("OriginalStatusCode", "OriginalMessage")}
        refused |= {"retries": error.response["ResponseMetadata"]["RetryAttempts"]}
    with ThreadPoolExecutor(8) as pool:
        bodies = [b"%d" % number for number in range(40)]
        answers = [json.load(answer["Body"])["body"].encode() for answer in pool.map(call, bodies)]
    return {
        "body": json.loads(whole),
        "same": [pieces == whole, lines == whole.splitlines(), answers == bodies],
        "headers": [answer["ContentType"], answer["InvokedProductionVariant"], answer["CustomAttributes"]],
        "streamed": json.loads(streamed)["body"],
        "refused": refused,
    }


def presigned(s3: Any, bucket: str) -> dict[str, Any]:
    """An object put and got by whoever has the URL, without credentials; a URL that was changed is of no use."""
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "shared/a b.txt"})
    with urllib.request.urlopen(urllib.request.Request(put, data="größer".encode(), method="PUT")) as answer:
        status = answer.status
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "shared/a b.txt"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        text = answer.read().decode()
    return {"put": status, "got": text, "changed": status_of(get.replace("a%20b.txt", "another.txt"))}


def status_of(url: str) -> int:
    """The HTTP status of a GET."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def lines(logs: Any, name: str) -> list[str]:
    """What the endpoint's containers logged."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    return list(pages.search("events[].message"))


if __name__ == "__main__":
    main(*sys.argv[1:4])
