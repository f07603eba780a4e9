"""What an instance type has: https://aws.amazon.com/sagemaker/ai/pricing/ lists them; their names follow rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 1024**3

# GiB a vCPU, by the first letter of the family: compute, general and memory optimised.
_MEMORY = {"c": 2, "m": 4, "r": 8}
_SMALL = {"large": 2, "xlarge": 4}
# Burstable types follow no rule: vCPUs and GiB.
_BURSTABLE = {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32)}


@dataclass(frozen=True)
class Resources:
    """What a container of an instance may use."""

    processors: float
    memory_bytes: int


def resources(instance_type: str) -> Resources | None:
    """The vCPUs and the memory of `ml.FAMILY.SIZE`; None where no Docker limit can stand for its hardware."""
    found = re.fullmatch(r"(?:ml\.)?([a-z]+)\d[a-z]*\.(\w+)", instance_type)
    if found is None:
        return None
    family, size = found.groups()
    if family == "t" and size in _BURSTABLE:
        processors, memory = _BURSTABLE[size]
        return Resources(processors, memory * GIB)
    number = re.fullmatch(r"(\d+)xlarge", size)
    processors = 4 * int(number.group(1)) if number else _SMALL.get(size, 0)
    if not processors or family not in _MEMORY:
        return None
    return Resources(processors, processors * _MEMORY[family] * GIB)
