"""What a user of version 3 of the SageMaker SDK writes with its resources: one class each, as the API has them."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import botocore.exceptions
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, Tag, TrainingJob
from sagemaker.core.shapes import (
    AlgorithmSpecification,
    Channel,
    ContainerDefinition,
    DataSource,
    OutputDataConfig,
    ProductionVariant,
    ResourceConfig,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.shapes import Tag as TagShape
from sagemaker.core.utils.exceptions import FailedStatusError


def main(bucket: str, image: str, role: str) -> None:
    """Print one line of JSON with what came out, after the SDK's own output."""
    logging.basicConfig(level=logging.INFO)  # the SDK says what it does, and the job its lines, in a log
    name = f"{bucket}-v3"
    result = {"trained": train(bucket, name, image, role)}
    result["served"] = serve(name, image, role, result["trained"]["model"])
    try:
        Endpoint.get(endpoint_name="nowhere")
    except botocore.exceptions.ClientError as error:
        result["missing"] = error.response["Error"]
    print()
    print(json.dumps(result))


def job(bucket: str, name: str, image: str, role: str, **hyperparameters: str) -> TrainingJob:
    """A training job on the words."""
    words = S3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{bucket}/words/")
    return TrainingJob.create(
        training_job_name=name,
        role_arn=role,
        hyper_parameters=hyperparameters,
        algorithm_specification=AlgorithmSpecification(training_image=image, training_input_mode="File"),
        input_data_config=[Channel(channel_name="train", data_source=DataSource(s3_data_source=words))],
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/jobs"),
        resource_config=ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=30),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    )


def train(bucket: str, name: str, image: str, role: str) -> dict[str, Any]:
    """One job to its end with its log, one that is stopped, one that fails; the list of them."""
    done = job(bucket, name, image, role, lines="5")
    done.wait(poll=1, logs=True)
    stopped = job(bucket, f"{name}-stopped", image, role, hang="politely")
    stopped.stop()
    stopped.wait(poll=1)
    try:
        job(bucket, f"{name}-failed", image, role, fail="on purpose").wait(poll=1)
    except FailedStatusError as error:
        reason = str(error)
    jobs = list(TrainingJob.get_all(name_contains=name, sort_by="CreationTime", sort_order="Ascending"))
    return {
        "status": done.training_job_status,
        "model": done.model_artifacts.s3_model_artifacts,
        "reason": reason,
        "listed": [[each.training_job_name, each.refresh().training_job_status] for each in jobs],
    }


def serve(name: str, image: str, role: str, data: str) -> dict[str, Any]:
    """A model, its configuration, its endpoint, an invocation; then all of it is deleted."""
    container = ContainerDefinition(image=image, model_data_url=data, environment={"GREETING": "hello"})
    tags = [TagShape(key="team", value="words")]
    model = Model.create(model_name=name, primary_container=container, execution_role_arn=role, tags=tags)
    variant = ProductionVariant(
        variant_name="a", model_name=name, instance_type="ml.m5.large", initial_instance_count=1
    )
    config = EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
    endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    endpoint.wait_for_status("InService", poll=1)
    answer = endpoint.invoke(body=b"one", content_type="text/plain", accept="application/json", custom_attributes="a=b")
    seen = {
        "status": endpoint.endpoint_status,
        "body": json.loads(answer.body.read()),
        "headers": [answer.content_type, answer.invoked_production_variant, answer.custom_attributes],
        "tags": [[tag.key, tag.value] for tag in Tag.get_all(resource_arn=Model.get(model_name=name).model_arn)],
    }
    other = Model.create(
        model_name=f"{name}2", primary_container={"image": image, "environment": {"GREETING": "again"}}
    )
    another = EndpointConfig.create(
        endpoint_config_name=f"{name}2",
        production_variants=[
            ProductionVariant(
                variant_name="a", model_name=f"{name}2", instance_type="ml.m5.large", initial_instance_count=1
            )
        ],
    )
    endpoint.endpoint_config_name = f"{name}2"
    endpoint.update()
    endpoint.wait_for_status("InService", poll=1)
    seen["updated"] = json.loads(endpoint.invoke(body=b"two").body.read())["greeting"]
    another.delete()
    other.delete()
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    config.delete()
    model.delete()
    kinds = (Endpoint, EndpointConfig, Model)
    return {**seen, "left": [len(list(kind.get_all(name_contains=name))) for kind in kinds]}


if __name__ == "__main__":
    main(*sys.argv[1:4])
