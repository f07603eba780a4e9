"""What the API does: one module a resource, one function an operation, all of them in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from emulator.operations import (
    async_invocations,
    endpoint_configs,
    endpoints,
    invocations,
    models,
    response_streams,
    search,
    tags,
    training_jobs,
)
from emulator.operations.context import Answer, Context, Parameters
from emulator.operations.support import Supported

Operation = Callable[[Context, Parameters], Answer]

OPERATIONS: Mapping[str, Operation] = {
    "CreateTrainingJob": training_jobs.create_training_job,
    "DescribeTrainingJob": training_jobs.describe_training_job,
    "ListTrainingJobs": training_jobs.list_training_jobs,
    "UpdateTrainingJob": training_jobs.update_training_job,
    "StopTrainingJob": training_jobs.stop_training_job,
    "DeleteTrainingJob": training_jobs.delete_training_job,
    "Search": search.search,
    "CreateModel": models.create_model,
    "DescribeModel": models.describe_model,
    "DeleteModel": models.delete_model,
    "ListModels": models.list_models,
    "CreateEndpointConfig": endpoint_configs.create_endpoint_config,
    "DescribeEndpointConfig": endpoint_configs.describe_endpoint_config,
    "DeleteEndpointConfig": endpoint_configs.delete_endpoint_config,
    "ListEndpointConfigs": endpoint_configs.list_endpoint_configs,
    "CreateEndpoint": endpoints.create_endpoint,
    "DescribeEndpoint": endpoints.describe_endpoint,
    "DeleteEndpoint": endpoints.delete_endpoint,
    "ListEndpoints": endpoints.list_endpoints,
    "AddTags": tags.add_tags,
    "ListTags": tags.list_tags,
    "DeleteTags": tags.delete_tags,
}

RUNTIME_OPERATIONS: Mapping[str, Operation] = {
    "InvokeEndpoint": invocations.invoke_endpoint,
    "InvokeEndpointAsync": async_invocations.invoke_endpoint_async,
    "InvokeEndpointWithResponseStream": response_streams.invoke_endpoint_with_response_stream,
}


def supported() -> dict[str, Supported]:
    """What operations say of their parameters, by operation; one that says nothing takes them all."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Supported)]
    return {value.operation: value for value in found}


def bind(
    operations: Mapping[str, Operation], context: Context
) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The table with the context filled in, as the wire calls it."""
    return {name: partial(operation, context) for name, operation in operations.items()}
