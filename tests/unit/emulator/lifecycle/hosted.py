"""What the tests of endpoints share: an S3 with models, configurations, and looking at what becomes of an endpoint."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import Any

from emulator.engine.fake import History
from emulator.operations import OPERATIONS
from emulator.store.port import Kind, NotFound, Resource

MODEL = "s3://bucket/models/job/output/model.tar.gz"
SERVES = History(lines=("serving",), runs_until_stopped=True, address="127.0.0.1:8080")
NEXT = "next.dkr.ecr.us-east-1.amazonaws.com/image:2"  # the image of what an endpoint is updated to
NEXT_SERVES = History(lines=("serving",), runs_until_stopped=True, address="127.0.0.1:9090")


def archive(content: bytes = b"abc") -> bytes:
    """A model.tar.gz with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        member = tarfile.TarInfo("1/saved_model.pb")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def call(emulator: SimpleNamespace, operation: str, **parameters: Any) -> dict[str, Any]:
    """The operation of that emulator."""
    return OPERATIONS[operation](emulator.context, parameters)


def model(emulator: SimpleNamespace, name: str, image: str | None = None) -> None:
    """A model of one container."""
    container = {"Image": image or emulator.image, "ModelDataUrl": MODEL}
    call(emulator, "CreateModel", ModelName=name, PrimaryContainer=container)


def config(emulator: SimpleNamespace, name: str, *variants: dict[str, Any], **more: Any) -> None:
    """An endpoint configuration; a variant's model is `model` unless it says otherwise."""
    default = {"VariantName": "AllTraffic", "ModelName": "model", "InstanceType": "ml.m5.large"}
    production = [{**default, **variant} for variant in variants or [{}]]
    call(emulator, "CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=production, **more)


def endpoint(emulator: SimpleNamespace, config_name: str = "config") -> None:
    """An endpoint of that configuration, in service."""
    call(emulator, "CreateEndpoint", EndpointName="endpoint", EndpointConfigName=config_name)
    until(emulator, "InService")


def describe(emulator: SimpleNamespace) -> dict[str, Any]:
    """DescribeEndpoint."""
    return call(emulator, "DescribeEndpoint", EndpointName="endpoint")


def until(emulator: SimpleNamespace, status: str, name: str = "endpoint") -> Resource:
    """The endpoint, once it has that status."""

    def look() -> Resource | None:
        found = emulator.store.get(Kind.ENDPOINT, name)
        return found if found.status == status else None

    found: Resource = emulator.poll(look, f"status {status}")
    return found


def gone(emulator: SimpleNamespace, name: str = "endpoint") -> bool:
    """Whether the store knows the endpoint no more."""
    try:
        emulator.store.get(Kind.ENDPOINT, name)
    except NotFound:
        return True
    return False
