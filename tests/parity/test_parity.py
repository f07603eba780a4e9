"""The same script, data and seed give the same model through every engine, and a script sees the same SageMaker."""

from __future__ import annotations

import pytest
from comparison import compare
from differences import DIFFERENCES
from observed import ASPECTS, observe
from parity_run import Outcome

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("aspect", ASPECTS)
def test_nothing_differs_but_what_must(other: Outcome, reference: Outcome, aspect: str) -> None:
    """Values are equal (numbers to 1e-6) but for the differences listed by name, each of which occurs."""
    found = compare(
        observe(other, aspect), observe(reference, aspect), DIFFERENCES[other.engine].get(aspect, ())
    ).problems(other.engine, reference.engine)
    assert not found, f"{aspect}: {found}"


@pytest.mark.parametrize("aspect", ["centres", "model.tar.gz", "predictions", "/opt/ml", "environment"])
def test_there_is_something_to_compare(reference: Outcome, aspect: str) -> None:
    """An aspect without values would be equal for every engine."""
    values = observe(reference, aspect)
    assert len(values) >= 5
    if aspect == "centres":
        centres = [value for key, value in values.items() if key.startswith("clusters/")]
        metrics = reference.report["training"]["metrics"]
        assert len(centres) == metrics["num_clusters"] * metrics["movies"]
        assert any(centres)
