"""What instance types have."""

from __future__ import annotations

import pytest

from emulator.engine.instance_types import GIB, Resources, resources


@pytest.mark.parametrize(
    ("name", "processors", "gib"),
    [
        ("ml.m5.large", 2, 8),
        ("ml.m5.xlarge", 4, 16),
        ("ml.c5.2xlarge", 8, 16),
        ("ml.c5n.xlarge", 4, 8),
        ("ml.r5.12xlarge", 48, 384),
        ("ml.t3.medium", 2, 4),
        ("ml.t2.xlarge", 4, 16),
    ],
)
def test_known_types(name: str, processors: float, gib: int) -> None:
    """As in AWS's price list (2025); c5n, which has a little more, counts as its family."""
    assert resources(name) == Resources(processors, gib * GIB)


@pytest.mark.parametrize("name", ["ml.p3.2xlarge", "ml.g5.xlarge", "local", "", "ml.m5.metal"])
def test_others_have_no_limit(name: str) -> None:
    """A GPU cannot be limited to; nor can what is no type."""
    assert resources(name) is None
