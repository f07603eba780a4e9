"""Models, configurations and endpoints of the tests' image, made and removed as their users do it."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from emulated import BUCKET, QUICKLY, ROLE, SERVING_IMAGE, Emulated

MODEL = f"s3://{BUCKET}/model.tar.gz"


def upload_model(emulated: Emulated, *words: str, key: str = "model.tar.gz") -> None:
    """A model of these words, in a bucket that is made when it is not there."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        content = json.dumps(words or ["good", "morning"]).encode()
        member = tarfile.TarInfo("words.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    emulated.client("s3").create_bucket(Bucket=BUCKET)
    emulated.client("s3").put_object(Bucket=BUCKET, Key=key, Body=file.getvalue())


def container(data: str | None = MODEL, **variables: str) -> dict[str, Any]:
    """A container definition."""
    return {"Image": SERVING_IMAGE, "Environment": variables, **({"ModelDataUrl": data} if data else {})}


def create(emulated: Emulated, name: str, variants: list[dict[str, Any]] | None = None, **variables: str) -> Any:
    """A model, a configuration and an endpoint of that name; returns the client."""
    sagemaker = emulated.client("sagemaker")
    sagemaker.create_model(ModelName=name, PrimaryContainer=container(**variables), ExecutionRoleArn=ROLE)
    default = [{"VariantName": "AllTraffic", "InitialInstanceCount": 1}]
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"ModelName": name, "InstanceType": "ml.m5.large", **v} for v in variants or default],
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return sagemaker


def delete(sagemaker: Any, name: str) -> None:
    """As the SDK does it, with botocore's waiter."""
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=QUICKLY)


def in_service(sagemaker: Any, name: str) -> dict[str, Any]:
    """Wait as botocore does, and describe it."""
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICKLY)
    described: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    return described


def answer(emulated: Emulated, name: str, body: bytes = b"x", **more: Any) -> dict[str, Any]:
    """What the tests' image answers."""
    response = emulated.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **more)
    found: dict[str, Any] = json.loads(response["Body"].read())
    return found
