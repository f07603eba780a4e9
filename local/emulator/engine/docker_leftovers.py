"""What emulators that were killed left in the daemon: known by its labels, ended and removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from emulator.engine.docker_container import discard
from emulator.engine.docker_errors import ERRORS
from emulator.engine.docker_labels import WORK, own_filter, owner_lives


def remove(client: Any) -> list[str]:
    """Remove this user's containers and networks whose emulator is gone; the names of the works that still ran.

    What cannot be removed now is left for the next time. Raises what any call to a daemon may (`docker_errors.ERRORS`).
    """
    ended = []
    # Other emulators come and go at the same time: what goes while we look is not ours to remove.
    for container in client.containers.list(all=True, filters=own_filter(), ignore_removed=True):
        if owner_lives(container.labels):
            continue
        if container.status == "running":
            ended.append(container.labels.get(WORK, container.name))
        discard(container)
    for network in client.networks.list(filters=own_filter()):
        if not owner_lives(network.attrs.get("Labels") or {}):
            with suppress(*ERRORS):
                network.remove()
    return sorted(ended)
