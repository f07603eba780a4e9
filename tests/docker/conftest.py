"""What all tests of the Docker engine share: they need a daemon, and leave nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from emulator.engine.docker_labels import own_filter


def made_here(client: Any) -> list[str]:
    """What our emulators have in the daemon now: containers and networks."""
    containers = [container.name for container in client.containers.list(all=True, filters=own_filter())]
    return containers + [network.name for network in client.networks.list(filters=own_filter())]


@pytest.fixture
def nothing_left(docker_daemon: Any) -> Iterator[None]:
    """Fails a test that leaves a container or a network."""
    before = made_here(docker_daemon.client)
    yield
    assert set(made_here(docker_daemon.client)) <= set(before)
