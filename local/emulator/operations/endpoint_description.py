"""What DescribeEndpoint says of an endpoint, from what is stored of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from emulator.lifecycle.endpoint_record import CREATING, FAILED, SYSTEM_UPDATING, UPDATING, pending_of, plan_of
from emulator.lifecycle.plan import Plan, VariantPlan
from emulator.store.port import Resource

Answer = dict[str, Any]


def description(endpoint: Resource) -> Answer:
    """The answer of DescribeEndpoint."""
    document, plan = endpoint.document, plan_of(endpoint)
    answer: Answer = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": plan.config_name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
    }
    answer |= {key: document[key] for key in ("FailureReason", "LastDeploymentConfig") if key in document}
    if plan.async_config is not None:
        answer["AsyncInferenceConfig"] = plan.async_config
    if plan.capture is not None:
        answer["DataCaptureConfig"] = _capture(endpoint, plan.capture)
    if endpoint.status != CREATING:  # AWS shows no variants before
        answer["ProductionVariants"] = [_variant(endpoint, variant) for variant in plan.variants]
    pending = plan if endpoint.status == CREATING else pending_of(endpoint)
    if pending is not None:
        answer["PendingDeploymentSummary"] = _pending(pending, document["Since"])
    return answer


def _variant(endpoint: Resource, plan: VariantPlan) -> Answer:
    running = endpoint.document["Running"].get(plan.name, 0)
    since = endpoint.document["Since"]
    answer = {**_common(plan, since), "CurrentWeight": plan.weight, "DesiredWeight": plan.weight}
    if plan.serverless:
        answer |= {"CurrentInstanceCount": 0, "CurrentServerlessConfig": plan.config["ServerlessConfig"]}
    else:
        answer |= {"CurrentInstanceCount": running, "DesiredInstanceCount": plan.count}
    rescaled = endpoint.status == UPDATING and running != plan.count and "Pending" not in endpoint.document
    if rescaled or endpoint.status == SYSTEM_UPDATING:
        answer["VariantStatus"] = [{"Status": "Updating", "StartTime": since}]
    return answer


def _pending(plan: Plan, since: datetime) -> Answer:
    variants = []
    for variant in plan.variants:
        answer = {**_common(variant, since), "DesiredWeight": variant.weight}
        if variant.serverless:
            answer["DesiredServerlessConfig"] = variant.config["ServerlessConfig"]
        else:
            answer |= {"CurrentInstanceCount": 0, "DesiredInstanceCount": variant.count}
            answer |= {key: variant.config[key] for key in ("InstanceType",) if key in variant.config}
        variants.append({**answer, "VariantStatus": [{"Status": "Creating", "StartTime": since}]})
    return {"EndpointConfigName": plan.config_name, "StartTime": since, "ProductionVariants": variants}


def _common(plan: VariantPlan, since: datetime) -> Answer:
    images = [c["Image"] for c in plan.containers]
    answer: Answer = {
        "VariantName": plan.name,
        "DeployedImages": [{"SpecifiedImage": i, "ResolvedImage": i, "ResolutionTime": since} for i in images],
    }
    return answer | {key: plan.config[key] for key in ("RoutingConfig",) if key in plan.config}


def _capture(endpoint: Resource, config: Any) -> Answer:
    """DataCaptureConfigSummary, all of whose members AWS's model requires."""
    enabled = config.get("EnableCapture", False)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled and endpoint.status not in {CREATING, FAILED} else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
