"""Free ports of loopback."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that nobody listened on a moment ago; who is told of it binds it himself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
