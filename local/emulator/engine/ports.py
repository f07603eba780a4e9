"""Free ports of loopback."""

from __future__ import annotations

import random
import socket
import threading
from collections import deque
from pathlib import Path

# Linux takes ports of outgoing connections from this range: one that is free now may be taken a moment later.
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10000
TRIES = 200

_lock = threading.Lock()
_given: deque[int] = deque(maxlen=1000)  # to whom one is told it may take a while to bind it


def free_port(ephemeral: Path = EPHEMERAL) -> int:
    """A port that nobody listens on, and that nobody here was told of lately; who is told of it binds it himself.

    It is none that an outgoing connection may take meanwhile, where there are others. Raises OSError when none is free.
    """
    with _lock:
        highest = _first_ephemeral(ephemeral)
        for _ in range(TRIES if highest > LOWEST else 0):
            port = random.randrange(LOWEST, highest)  # noqa: S311 - not a secret
            if port not in _given and _is_free(port):
                _given.append(port)
                return port
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])


def _first_ephemeral(path: Path) -> int:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0  # not Linux: nobody knows


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))  # on every address: whoever listens on another one may be told of it as well
        except OSError:
            return False
        return True
