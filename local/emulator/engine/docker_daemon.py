"""Finds the Docker daemon of this machine, or says why none can be used; a missing socket costs nothing."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_URL = "unix:///var/run/docker.sock"
PING_SECONDS = 2.0  # until somebody opens the socket
ANSWER_SECONDS = 20.0
REQUEST_SECONDS = 60.0


class DockerUnavailable(Exception):
    """No Docker daemon can be used; the message says why."""


@dataclass(frozen=True)
class Daemon:
    """A daemon that answers."""

    client: Any  # docker.DockerClient
    gateway: str  # this machine's address on Docker's default bridge
    processors: int
    description: str


def connect(url: str = "") -> Daemon:
    """The daemon at this URL; without one, at Docker's own place. Raises DockerUnavailable."""
    url = url or DEFAULT_URL
    scheme, _, path = url.partition("://")
    if scheme != "unix":
        # Its containers could neither see the work folders nor reach the emulator.
        raise DockerUnavailable(f"the Docker daemon at {url} may be on another machine; only unix:// can be used")
    if not Path(path).exists():
        raise DockerUnavailable(f"no Docker daemon runs here ({path} is not there)")
    _knock(path)

    import docker  # only now: it takes a quarter of a second
    from docker.errors import DockerException
    from requests import RequestException

    client = None
    try:
        # Somebody opened: a daemon that builds may take its time with an answer.
        client = docker.DockerClient(base_url=url, timeout=ANSWER_SECONDS)
        info = client.info()
        gateway = _gateway(client)
    except (DockerException, RequestException) as error:
        if client is not None:
            client.close()
        raise DockerUnavailable(f"no Docker daemon answers at {path} ({error})") from error
    client.api.timeout = REQUEST_SECONDS
    if not _ours(gateway):
        client.close()
        raise DockerUnavailable(
            f"the Docker daemon at {path} runs its containers where they cannot reach this machine (its bridge's "
            f"gateway, {gateway or 'none'}, is no address of it): rootless Docker and Docker Desktop do so"
        )
    return Daemon(client, gateway, int(info.get("NCPU") or 1), f"Docker {info.get('ServerVersion')} answers at {path}")


def _gateway(client: Any) -> str:
    """The IPv4 gateway of the default bridge; empty when there is none."""
    from docker.errors import NotFound

    try:
        bridge = client.networks.get("bridge").attrs
    except NotFound:  # dockerd --bridge=none
        return ""
    for entry in bridge["IPAM"]["Config"] or ():
        if "." in entry.get("Subnet", ""):
            # Where the daemon has chosen it by itself, 20.10 does not say it: it is the first of the subnet.
            first = next(ipaddress.ip_network(entry["Subnet"]).hosts())
            return str(entry.get("Gateway") or first)
    return ""


def _ours(address: str) -> bool:
    """Whether one can listen at the address."""
    if not address:
        return False
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _knock(path: str) -> None:
    """Raise DockerUnavailable where nobody opens; the SDK would not close its socket then."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PING_SECONDS)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise DockerUnavailable(
                f"this user may not use the Docker daemon at {path} (join the group `docker`)"
            ) from error
        except OSError as error:
            raise DockerUnavailable(f"no Docker daemon answers at {path} ({error})") from error
