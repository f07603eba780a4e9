"""How much memory there is for more models: the machine's, or less where a container is held to less."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

# The limit of a control group and what is used of it: version 2, then version 1.
_GROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available(root: Path = Path("/")) -> int:
    """Bytes; what Linux says below `root`."""
    amounts = []
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE)
        if found:
            amounts.append(int(found[1]) * 1024)
    for limit, used in _GROUPS:
        with suppress(OSError, ValueError):  # ValueError: "max", there is no limit
            amounts.append(int((root / limit).read_text()) - int((root / used).read_text()))
    return max(0, min(amounts, default=0))
