from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.operations import (
    OPERATIONS,
    RUNTIME_OPERATIONS,
    endpoint_configs,
    endpoints,
    invocations,
    models,
    training_job_checks,
    training_jobs,
)
from emulator.operations.support import Supported

PAGE = (Path(__file__).parents[4] / "docs" / "emulator.md").read_text("utf-8")


@pytest.mark.parametrize("operation", sorted({*OPERATIONS, *RUNTIME_OPERATIONS}))
def test_every_operation_is_on_the_page(operation: str) -> None:
    """What the table has, docs/emulator.md lists."""
    assert f"`{operation}`" in PAGE


@pytest.mark.parametrize(
    ("operation", "supported"),
    [
        ("CreateTrainingJob", training_job_checks.CREATE),
        ("UpdateTrainingJob", training_jobs.UPDATE),
        ("CreateModel", models.CREATE),
        ("CreateEndpointConfig", endpoint_configs.CREATE),
        ("CreateEndpoint", endpoints.CREATE),
        ("InvokeEndpoint", invocations.INVOKE),
    ],
)
def test_every_parameter_is_in_its_column(operation: str, supported: Supported) -> None:
    """What works and what has no effect is documented as that; each by the last part of its path."""
    row = re.search(rf"^\| `{operation}` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert row, f"{operation} has no row"
    for column, paths in zip(row.groups(), (supported.works, supported.no_effect), strict=True):
        words = set(re.findall(r"\w+", column))
        missing = {path for path in paths if path.rpartition(".")[2] not in words}
        assert not missing
