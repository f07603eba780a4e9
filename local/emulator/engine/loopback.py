"""The network of a job's hosts where all are processes of one machine: addresses of loopback, and free ports."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address

# Tells the training launcher where the hosts are: JSON, {"algo-1": "127.0.0.1:40001", …}. Names such as algo-1 cannot
# be made to resolve without writing to /etc/hosts, which takes root.
HOSTS_VARIABLE = "SAGEMAKER_REHEARSAL_HOSTS"
FIRST = IPv4Address("127.0.0.1")


@dataclass(frozen=True)
class LoopbackNetwork:
    """Where each host of a job may listen, as "address:port"."""

    addresses: Mapping[str, str]

    @classmethod
    def of(cls, hosts: Sequence[str]) -> LoopbackNetwork:
        """Choose: 127.0.0.1 for the first host, 127.0.0.2 for the second, …, each with a port that nobody listens on.

        The ports differ, too, and are free on every address: TensorFlow's server listens on all of them, whatever
        address it is given. Raises OSError when there are none.
        """
        with ExitStack() as probes:
            addresses = {}
            for number, host in enumerate(hosts):
                probe = probes.enter_context(socket.socket())
                probe.bind(("", 0))  # bound, not listening: nobody can connect
                addresses[host] = f"{FIRST + number}:{probe.getsockname()[1]}"
        return cls(addresses)

    def environment(self) -> dict[str, str]:
        """What a host is told; nothing when it is alone."""
        return {HOSTS_VARIABLE: json.dumps(dict(self.addresses))} if len(self.addresses) > 1 else {}

    def close(self) -> None:
        """There is nothing to take away."""
