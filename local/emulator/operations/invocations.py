"""InvokeEndpoint, of the runtime API."""

from __future__ import annotations

from emulator.errors import ModelError, ValidationError
from emulator.lifecycle.health import Call, NoAnswer
from emulator.lifecycle.target import NoneHealthy, Target
from emulator.operations.context import Answer, Context, Parameters
from emulator.operations.support import Supported
from emulator.store.port import NotFound

INVOKE = Supported(
    "InvokeEndpoint",
    works=["EndpointName", "Body", "ContentType", "Accept", "CustomAttributes", "TargetVariant", "InferenceId"],
    notes={"Body": "6 MB"},
)

# Parameter of the request -> header that the container gets.
_HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}


def invoke_endpoint(context: Context, parameters: Parameters) -> Answer:
    """Pass the body on to a container of the endpoint, and its answer back."""
    INVOKE.check(parameters)
    name, variant = parameters["EndpointName"], parameters.get("TargetVariant")
    try:
        target = context.endpoints.target(name, variant)
    except NotFound:
        raise ValidationError(f"Endpoint {name} of account {context.account.account_id} not found.") from None
    except KeyError:
        raise ValidationError(f"Variant {variant} not found for Request") from None
    except NoneHealthy as error:
        raise _model_error(context, error.target, 0, "No container of the variant is healthy at the moment.") from None
    headers = {header: parameters[key] for key, header in _HEADERS.items() if key in parameters}
    try:
        with target:
            answer = context.containers.invoke(target.address, Call(parameters.get("Body", b""), headers))
    except NoAnswer as error:
        raise _model_error(context, target, 0, str(error)) from None
    if not 200 <= answer.status < 300:
        raise _model_error(context, target, answer.status, answer.body.decode("utf-8", "replace"))
    result: Answer = {"Body": answer.body, "InvokedProductionVariant": target.variant}
    if "content-type" in answer.headers:
        result["ContentType"] = answer.headers["content-type"]
    attributes = answer.headers.get("x-amzn-sagemaker-custom-attributes")
    if attributes is not None:
        result["CustomAttributes"] = attributes
    return result


def _model_error(context: Context, target: Target, status: int, message: str) -> ModelError:
    side = "client" if 400 <= status < 500 else "server"
    account = context.account
    return ModelError(
        f'Received {side} error ({status}) from primary with message "{message}". '
        f"See {account.console_url(target.log_group)} in account {account.account_id} for more information.",
        original_status=status,
        original_message=message,
        log_stream_arn=account.log_stream_arn(target.log_group, target.log_stream),
    )
