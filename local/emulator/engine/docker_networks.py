"""Networks of the Docker engine: one a job or variant, there as long as any of its containers is."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError

from emulator.engine.docker_labels import NAME, labels


@dataclass
class _Network:
    """A network, and how many containers it is for."""

    network: Any
    members: int = 0


class Networks:
    """The networks of one emulator."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._networks: dict[str, _Network] = {}
        self._lock = threading.Lock()

    def join(self, work: str) -> str:
        """The name of the network that a work shares with the others of its job; made when it is the first."""
        key = _job(work)
        with self._lock:
            if key not in self._networks:
                name = f"{NAME}-{secrets.token_hex(6)}"
                made = self._client.networks.create(name, driver="bridge", labels=labels(key))
                self._networks[key] = _Network(made)
            self._networks[key].members += 1
            return str(self._networks[key].network.name)

    def leave(self, work: str) -> None:
        """Undo a `join`: the last to leave removes the network."""
        key = _job(work)
        with self._lock:
            found = self._networks[key]
            found.members -= 1
            if not found.members:
                del self._networks[key]
                with suppress(APIError):  # somebody's own container is in it; the next start tries again
                    found.network.remove()


def _job(work: str) -> str:
    """`training-job/NAME` of `training-job/NAME/algo-1`."""
    return work.rpartition("/")[0] or work
