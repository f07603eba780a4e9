"""InvokeEndpointWithResponseStream, of the runtime API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.lifecycle.capture import Side
from emulator.lifecycle.health import NoAnswer, Stream
from emulator.lifecycle.invoking import LARGEST_ANSWER, BadTarget, InvocationFailed
from emulator.lifecycle.target import Target
from emulator.operations.context import Answer, Context, Parameters
from emulator.operations.invocations import api_error, capture, find_target, head, invocation
from emulator.operations.support import Supported

INVOKE = Supported(
    "InvokeEndpointWithResponseStream",
    works=[
        "EndpointName",
        "Body",
        "ContentType",
        "Accept",
        "CustomAttributes",
        "TargetVariant",
        "TargetContainerHostname",
        "InferenceId",
    ],
)


def invoke_endpoint_with_response_stream(context: Context, parameters: Parameters) -> Answer:
    """Pass the body on, and the answer back piece by piece, as the container sends it."""
    INVOKE.check(parameters)
    target = find_target(context, parameters)
    try:
        stream = context.runtime.invoker.stream(target, invocation(parameters))
    except (InvocationFailed, BadTarget) as error:
        target.release()
        raise api_error(context, error) from None
    except BaseException:
        target.release()
        raise
    return {"Body": _Parts(context, parameters, target, stream), **head(target, stream.headers)}


class _Parts:
    """The events of one answer; `close` ends the invocation, also when nobody listens to the end."""

    def __init__(self, context: Context, parameters: Parameters, target: Target, stream: Stream) -> None:
        self._context, self._parameters, self._target, self._stream = context, parameters, target, stream

    def __iter__(self) -> Iterator[dict[str, Any]]:
        wanted = self._target.capture is not None
        blocks: list[bytes] = []
        size = 0
        try:
            for block in self._stream.blocks():
                size += len(block)
                if wanted and size <= LARGEST_ANSWER:
                    blocks.append(block)
                yield {"PayloadPart": {"Bytes": block}}
        except NoAnswer as error:
            code = "ModelInvocationTimeExceeded" if error.timeout else "StreamBroken"
            yield {"ModelStreamError": {"Message": str(error), "ErrorCode": code}}
            return
        if size <= LARGEST_ANSWER:
            output = Side(b"".join(blocks), self._stream.headers.get("content-type", ""))
            capture(self._context, self._target, self._parameters, output)

    def close(self) -> None:
        """Give connection and instance back."""
        self._stream.close()
        self._target.release()
