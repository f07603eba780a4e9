"""What happens within one invocation: container after container, headers both ways, and what can fail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from emulator.account import Account
from emulator.lifecycle.health import INVOCATION_SECONDS, INVOCATIONS, Answer, Call, ContainerClient, NoAnswer, Stream
from emulator.lifecycle.target import Hop, ModelNotLoaded, Target

LARGEST_ANSWER = 6 * 1024 * 1024  # bytes: what the API's own model allows for the body of InvokeEndpoint, both ways
STREAM_SECONDS = 480.0  # said to be AWS's limit for streams; the API's reference names none
CONTENT_TYPE, ACCEPT = "Content-Type", "Accept"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"


class InvocationFailed(Exception):
    """A container failed; AWS reports it as ModelError. `status` and `message` are the container's own."""

    def __init__(self, hop: Hop, message: str, status: int = 0, *, timeout: bool = False) -> None:
        super().__init__(message)
        self.hop = hop
        self.message = message
        self.status = status  # 0: it gave no answer
        self.timeout = timeout


class BadTarget(Exception):
    """The request names a model or container that the endpoint has not, or names none; the message says which."""


@dataclass(frozen=True)
class Invocation:
    """A request, as the first container gets it."""

    body: bytes
    headers: Mapping[str, str]
    target_model: str | None = None
    container: str | None = None  # TargetContainerHostname
    seconds: float = INVOCATION_SECONDS
    largest_answer: int = LARGEST_ANSWER


class Models(Protocol):
    """What multi-model endpoints need of their host."""

    def load_model(self, target: Target, target_model: str) -> None:
        """Have the model at the target's instance. Raises ModelNotLoaded."""

    def model_name(self, target_model: str) -> str:
        """What its container knows the model by."""


class Invoker:
    """Passes invocations through the containers of a target; safe to use from several threads."""

    def __init__(self, containers: ContainerClient, models: Models) -> None:
        self._containers = containers
        self._models = models

    def invoke(self, target: Target, invocation: Invocation) -> Answer:
        """The last container's answer. Raises InvocationFailed and BadTarget; releases nothing."""
        hop, call = self._until_last(target, invocation)
        return self._ask(hop, call, invocation.largest_answer)

    def stream(self, target: Target, invocation: Invocation) -> Stream:
        """The last container's answer, with the body still to come. Raises InvocationFailed and BadTarget."""
        hop, call = self._until_last(target, invocation)
        stream = self._open(hop, replace(call, stream_seconds=STREAM_SECONDS))
        if 200 <= stream.status < 300:
            return stream
        try:
            raise _failed(hop, self._read(hop, stream, invocation.largest_answer))
        finally:
            stream.close()

    def _until_last(self, target: Target, invocation: Invocation) -> tuple[Hop, Call]:
        """What to ask of the last container: in an inference pipeline, what those before it answered."""
        deadline = time.monotonic() + invocation.seconds
        hops = _hops(target, invocation.container)
        body, headers = invocation.body, dict(invocation.headers)
        # "The default accept/content-type between containers for serial inference is JSON" (SageMaker's examples of
        # inference pipelines): what the client accepts is told to the last container only.
        accept = {name: headers.pop(name) for name in (ACCEPT,) if name in headers}
        for hop in hops[:-1]:
            call = Call(body, headers, container=hop.container, seconds=deadline - time.monotonic())
            answer = self._ask(hop, call, invocation.largest_answer)
            body = answer.body
            for name in (CONTENT_TYPE, CUSTOM_ATTRIBUTES):
                value = answer.headers.get(name.lower())
                if value is not None:
                    headers[name] = value
        path = INVOCATIONS
        if target.multi_model is not None:
            path = self._loaded(target, invocation.target_model)
            headers[TARGET_MODEL] = invocation.target_model or ""
        elif invocation.target_model is not None:
            raise BadTarget(
                f"Target model header is only allowed for multi-model endpoints; {target.endpoint} is none."
            )
        last = hops[-1]
        return last, Call(body, headers | accept, path, last.container, deadline - time.monotonic())

    def _loaded(self, target: Target, target_model: str | None) -> str:
        """The path of a model, which is loaded now."""
        if target_model is None:
            raise BadTarget(f"{target.endpoint} is a multi-model endpoint: the request must name its TargetModel.")
        try:
            self._models.load_model(target, target_model)
        except ModelNotLoaded as error:
            if error.status:
                raise InvocationFailed(target.hops[-1], error.message, error.status) from None
            raise BadTarget(error.message) from None
        return f"/models/{self._models.model_name(target_model)}/invoke"

    def _ask(self, hop: Hop, call: Call, largest: int) -> Answer:
        stream = self._open(hop, call)
        try:
            answer = self._read(hop, stream, largest)
        finally:
            stream.close()
        if not 200 <= answer.status < 300:
            raise _failed(hop, answer)
        return answer

    def _open(self, hop: Hop, call: Call) -> Stream:
        try:
            return self._containers.stream(hop.address, call)
        except NoAnswer as error:
            raise InvocationFailed(hop, str(error), timeout=error.timeout) from None

    def _read(self, hop: Hop, stream: Stream, largest: int) -> Answer:
        blocks, size = [], 0
        for block in self.blocks(hop, stream):
            size += len(block)
            if size > largest:
                raise InvocationFailed(hop, f"The answer of container {hop.container} exceeds {largest} bytes.")
            blocks.append(block)
        return Answer(stream.status, stream.headers, b"".join(blocks))

    def blocks(self, hop: Hop, stream: Stream) -> Iterator[bytes]:
        """The body as it comes. Raises InvocationFailed when it breaks off."""
        try:
            yield from stream.blocks()
        except NoAnswer as error:
            raise InvocationFailed(hop, str(error), timeout=error.timeout) from None


def explain(account: Account, failed: InvocationFailed) -> str:
    """AWS's text of a failure, as ModelError has it, and the failure object of an asynchronous invocation."""
    side = "client" if 400 <= failed.status < 500 else "server"
    return (
        f'Received {side} error ({failed.status}) from {failed.hop.container} with message "{failed.message}". '
        f"See {account.console_url(failed.hop.log_group)} in account {account.account_id} for more information."
    )


def _hops(target: Target, container: str | None) -> tuple[Hop, ...]:
    """The containers that the request passes through."""
    if container is None:
        if target.direct:
            raise BadTarget(
                f"{target.endpoint} has containers for direct invocation: the request must name its "
                "TargetContainerHostname."
            )
        return target.hops
    if not target.direct:
        raise BadTarget(
            f"{target.endpoint} has no containers for direct invocation, and TargetContainerHostname is set."
        )
    found = tuple(hop for hop in target.hops if hop.container == container)
    if not found:
        raise BadTarget(f"Container {container} not found in endpoint {target.endpoint}.")
    return found


def _failed(hop: Hop, answer: Answer) -> InvocationFailed:
    return InvocationFailed(hop, answer.body.decode("utf-8", "replace"), answer.status)
