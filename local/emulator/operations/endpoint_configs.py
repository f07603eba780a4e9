"""CreateEndpointConfig, DescribeEndpointConfig, DeleteEndpointConfig, ListEndpointConfigs."""

from __future__ import annotations

from emulator.errors import ValidationError
from emulator.operations.context import Answer, Context, Parameters, existing, missing, tags_of
from emulator.operations.paging import list_page
from emulator.operations.support import Supported
from emulator.store.port import Kind, NameTaken, NotFound

CREATE = Supported(
    "CreateEndpointConfig",
    works=[
        "EndpointConfigName",
        "ProductionVariants[].VariantName",
        "ProductionVariants[].ModelName",
        "ProductionVariants[].InitialInstanceCount",
        "ProductionVariants[].InitialVariantWeight",
        "ProductionVariants[].ContainerStartupHealthCheckTimeoutInSeconds",
        "Tags",
    ],
    no_effect=[
        "ProductionVariants[].InstanceType",
        "ProductionVariants[].VolumeSizeInGB",
        "ProductionVariants[].ModelDataDownloadTimeoutInSeconds",
        "ProductionVariants[].EnableSSMAccess",
        "ProductionVariants[].InferenceAmiVersion",
        "KmsKeyId",
        "ExecutionRoleArn",
        "VpcConfig",
        "EnableNetworkIsolation",
    ],
)


def create_endpoint_config(context: Context, parameters: Parameters) -> Answer:
    """Store the configuration; its models must exist."""
    CREATE.check(parameters)
    variants = parameters["ProductionVariants"]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise ValidationError("The names of the ProductionVariants must be unique.")
    for variant in variants:
        if "ModelName" not in variant:
            raise CREATE.refusal("ProductionVariants[] without ModelName (inference components)")
        context.find(Kind.MODEL, variant["ModelName"])
    document = {k: v for k, v in parameters.items() if k != "Tags"}
    document["ProductionVariants"] = [
        {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0, **variant} for variant in variants
    ]
    config = context.new(Kind.ENDPOINT_CONFIG, parameters["EndpointConfigName"], document)
    try:
        context.store.create(config, tags_of(parameters))
    except NameTaken:
        raise existing(Kind.ENDPOINT_CONFIG, config.arn) from None
    return {"EndpointConfigArn": config.arn}


def describe_endpoint_config(context: Context, parameters: Parameters) -> Answer:
    """The request with AWS's defaults, and the time of creation."""
    config = context.find(Kind.ENDPOINT_CONFIG, parameters["EndpointConfigName"])
    return {
        "EnableNetworkIsolation": False,
        **config.document,
        "EndpointConfigArn": config.arn,
        "CreationTime": config.created,
    }


def delete_endpoint_config(context: Context, parameters: Parameters) -> Answer:
    """Remove it; endpoints made from it go on, as on AWS."""
    config = context.find(Kind.ENDPOINT_CONFIG, parameters["EndpointConfigName"])
    try:
        context.store.delete(config)
    except NotFound:
        raise missing(Kind.ENDPOINT_CONFIG, config.arn) from None
    return {}


def list_endpoint_configs(context: Context, parameters: Parameters) -> Answer:
    """One page of summaries."""
    configs, token = list_page(context.store, context.tokens, Kind.ENDPOINT_CONFIG, parameters, descending=True)
    summaries = [{"EndpointConfigName": c.name, "EndpointConfigArn": c.arn, "CreationTime": c.created} for c in configs]
    return {"EndpointConfigs": summaries, **token}
