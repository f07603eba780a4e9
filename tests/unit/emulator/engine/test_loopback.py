from __future__ import annotations

import json
import socket

from emulator.engine.loopback import HOSTS_VARIABLE, LoopbackNetwork


def test_every_host_has_an_address_of_its_own() -> None:
    """127.0.0.1, 127.0.0.2 and so on, each with another port; all can be listened on at the same time."""
    network = LoopbackNetwork.of(["algo-1", "algo-2", "algo-3"])
    pairs = [address.split(":") for address in network.addresses.values()]
    assert [host for host, _ in pairs] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({port for _, port in pairs}) == 3
    sockets = [socket.create_server((host, int(port))) for host, port in pairs]
    for listening in sockets:
        listening.close()
    assert json.loads(network.environment()[HOSTS_VARIABLE]) == network.addresses
    network.close()


def test_a_host_alone_is_told_nothing() -> None:
    """The environment of a job on one host is what it was."""
    assert LoopbackNetwork.of(["algo-1"]).environment() == {}
