"""Endpoints for tests of the runtime: made in one call, with containers that do what they are told."""

from __future__ import annotations

import json
from typing import Any

from emulated import QUICKLY, ROLE, RUNTIME_IMAGE, Emulated


def deploy(emulated: Emulated, name: str, containers: int = 1, **config: Any) -> None:
    """A model of so many containers, a configuration with these parameters, and an endpoint in service."""
    sagemaker = emulated.client("sagemaker")
    if containers == 1:
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": RUNTIME_IMAGE}, ExecutionRoleArn=ROLE)
    else:
        sagemaker.create_model(
            ModelName=name, Containers=[{"Image": RUNTIME_IMAGE}] * containers, ExecutionRoleArn=ROLE
        )
    variant = {"VariantName": "A", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **config)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICKLY)


def ask(runtime: Any, endpoint: str, **body: Any) -> dict[str, Any]:
    """Invoke it with a body of JSON; what the container says it was asked."""
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body))
    said: dict[str, Any] = json.loads(answer["Body"].read())
    return said
