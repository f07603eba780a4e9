"""What the life cycle of an endpoint says to containers over HTTP: the ports, and the record of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emulator.lifecycle.serving import Health


@dataclass(frozen=True)
class Reply:
    """A container's answer to a request about a model; 0 when there was none."""

    status: int
    message: str


class ModelServer(Protocol):
    """Multi-model containers: AWS's "Custom Containers Contract for Multi-Model Endpoints"."""

    def load(self, address: str, name: str, url: str) -> Reply:
        """POST /models: have the model in that folder (as the container sees it) loaded under that name."""

    def unload(self, address: str, name: str) -> Reply:
        """DELETE /models/NAME."""


@dataclass(frozen=True)
class ContainerHttp:
    """Both."""

    health: Health
    models: ModelServer
