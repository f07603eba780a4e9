"""Networks of the Docker engine: one a job, so that its hosts reach each other by name, and nobody else does."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from emulator.engine.docker_errors import ERRORS
from emulator.engine.docker_labels import NAME, labels


@dataclass(frozen=True)
class DockerNetwork:
    """A network that was made."""

    name: str  # the daemon's
    network: Any  # docker.models.networks.Network

    @classmethod
    def make(cls, client: Any, work: str) -> DockerNetwork:
        """Make one for this work. Raises DockerException or what the connection raises."""
        name = f"{NAME}-{secrets.token_hex(6)}"
        return cls(name, client.networks.create(name, driver="bridge", labels=labels(work)))

    def close(self) -> None:
        """Take it away. Idempotent."""
        with suppress(*ERRORS):  # gone, or somebody's own container is in it: then the next start tries again
            self.network.remove()
