"""Where an invocation goes: the containers that it passes through, and what the endpoint's configuration asks of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol


class NoneHealthy(Exception):
    """No instance of the variant is healthy at the moment: a container died, and is being started again."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.variant)
        self.target = target


class ModelNotLoaded(Exception):
    """The model of a multi-model endpoint cannot be had; the message says why."""

    def __init__(self, message: str, status: int = 0) -> None:
        """`status` is what the container answered when it was asked to load it; 0 when it was not asked."""
        super().__init__(message)
        self.message = message
        self.status = status


class InFlight:
    """Counts the invocations that are under way at one instance, so that they can be waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def begin(self) -> Lease:
        """One more; over when the lease is released."""
        with self._changed:
            self._count += 1
        return Lease(self)

    def end(self) -> None:
        """One less: for the lease alone."""
        with self._changed:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    @property
    def count(self) -> int:
        """How many are under way."""
        return self._count

    def drain(self, seconds: float) -> bool:
        """Wait, at most that long, until none is under way; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)


class Lease:
    """One invocation under way."""

    def __init__(self, of: InFlight) -> None:
        self._endings = [of.end]

    def also(self, ending: Callable[[], None]) -> None:
        """Have that called, too, when it is over."""
        self._endings.append(ending)

    def release(self) -> None:
        """It is over. Idempotent."""
        while self._endings:
            self._endings.pop()()


class Models(Protocol):
    """What a multi-model instance loads models with."""

    def load(self, target_model: str, lease: Lease) -> None:
        """Have it loaded, and keep it so until the lease is released. Raises ModelNotLoaded."""


@dataclass(frozen=True)
class Hop:
    """One container of the instance."""

    container: str  # as AWS's messages name it: "primary", its ContainerHostname, or "container-1", "container-2", …
    address: str
    log_group: str
    log_stream: str


@dataclass(frozen=True)
class Target:
    """Where an invocation goes. A context manager: the instance is not taken away before the end of it.

    Whoever cannot use `with`, since the answer is streamed, calls `release`.
    """

    endpoint: str
    variant: str
    hops: tuple[Hop, ...]  # an inference pipeline has several: each one's answer is the next one's request
    capture: Mapping[str, Any] | None = None  # DataCaptureConfig of the endpoint configuration
    async_config: Mapping[str, Any] | None = None  # AsyncInferenceConfig
    multi_model: str | None = None  # the S3 prefix that TargetModel is relative to
    direct: bool = False  # InferenceExecutionConfig.Mode is Direct: TargetContainerHostname names the one hop
    instance: str = ""  # i-…, which of the variant's instances it is
    models: Models | None = field(default=None, repr=False, compare=False)  # for Endpoints.load_model
    lease: Lease = field(default_factory=lambda: InFlight().begin(), compare=False)

    @property
    def address(self) -> str:
        """The last hop's."""
        return self.hops[-1].address

    @property
    def log_group(self) -> str:
        """The last hop's."""
        return self.hops[-1].log_group

    @property
    def log_stream(self) -> str:
        """The last hop's."""
        return self.hops[-1].log_stream

    def release(self) -> None:
        """The invocation is over. Idempotent."""
        self.lease.release()

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
