from __future__ import annotations

from pathlib import Path

import botocore
import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from emulator.documented import page
from emulator.operations import OPERATIONS, RUNTIME_OPERATIONS, supported
from emulator.operations.support import Supported
from emulator.wire.model import service_model

PAGE = Path(__file__).parents[4] / "docs" / "operations.md"


def test_the_page_is_that_of_the_code() -> None:
    """What the tables and the model say stands on the page."""
    written, made = PAGE.read_text("utf-8"), page()
    if f"(of version {botocore.__version__})" not in written:
        # AWS has new operations and parameters every week: then only what is ours must be the same.
        written, made = _ours(written), _ours(made)
    assert written == made, "Make it again: python -m emulator.documented > docs/operations.md"


def _ours(text: str) -> str:
    lines = (line for line in text.splitlines() if line.startswith(("### ", "- **works", "- **accepted", "Every ")))
    return "\n".join(lines)


@pytest.mark.parametrize("operation", sorted({*OPERATIONS, *RUNTIME_OPERATIONS}))
def test_every_operation_has_its_parameters(operation: str) -> None:
    """All of AWS's are there, each in one line, or below one that is there."""
    service = "sagemaker" if operation in OPERATIONS else "sagemaker-runtime"
    chapter = page().partition(f"### {operation}\n")[2].partition("\n### ")[0]
    for name in service_model(service).operation_model(operation).input_shape.members:
        assert f"`{name}`" in chapter or f"`{name}." in chapter or f"`{name}[" in chapter, name


@pytest.mark.parametrize("known", supported().values(), ids=lambda known: known.operation)
def test_what_is_said_to_be_supported_is_in_awss_model(known: Supported) -> None:
    """A slip in a path would refuse a parameter that works, or note what is not there."""
    service = "sagemaker" if known.operation in OPERATIONS else "sagemaker-runtime"
    shape = service_model(service).operation_model(known.operation).input_shape
    for path in (*known.works, *known.no_effect):
        assert _exists(shape, path), path
    assert set(known.notes) <= known.works | known.no_effect
    assert not known.works & known.no_effect


def _exists(shape: Shape, path: str) -> bool:
    for part in path.split("."):
        name = part.rstrip("[]")
        if not isinstance(shape, StructureShape) or name not in shape.members:
            return False
        shape = shape.members[name]
        for _ in range(part.count("[]")):
            if not isinstance(shape, ListShape):
                return False
            shape = shape.member
    return not isinstance(shape, MapShape) or not path.endswith("]")
