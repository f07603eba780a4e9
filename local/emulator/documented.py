"""Writes docs/operations.md, from the table of operations and AWS's model: python -m emulator.documented > FILE."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import botocore
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from emulator.localstack import SERVICES
from emulator.operations import OPERATIONS, RUNTIME_OPERATIONS, supported
from emulator.operations.support import Supported
from emulator.wire.model import service_model

_APIS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "sagemaker": ("SageMaker", OPERATIONS),
    "sagemaker-runtime": ("SageMaker Runtime", RUNTIME_OPERATIONS),
}
_SERVICE_NAMES = {
    "s3": "S3",
    "sts": "STS",
    "iam": "IAM",
    "kms": "KMS",
    "logs": "CloudWatch Logs",
}
_HEAD = f"""\
# Operations and parameters

Made by `python -m emulator.documented > docs/operations.md` from the table of operations (`local/emulator/operations`)
and botocore's model of AWS's services (of version {botocore.__version__}); a test says when it is out of date. Change
the table, not this page.

What is not implemented is **refused by name** (`NotImplemented`, HTTP 501): an operation, a parameter, or a value.
Nothing is ignored in silence.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_passed_on(), *_tables(), *_parameters()]) + "\n"


def _passed_on() -> Iterator[str]:
    services = ", ".join(_SERVICE_NAMES.get(name, name) for name in SERVICES)
    yield "## Passed on\n"
    yield (
        f"Every operation of {services}: LocalStack answers it, behind the same address.\n"
        "With `up --s3-endpoint` every service but SageMaker is passed on; the rest is refused by name, each in its "
        "protocol.\n"
    )


def _tables() -> Iterator[str]:
    for service, (title, table) in _APIS.items():
        names = service_model(service).operation_names
        yield f"## {title}: {len(table)} of {len(names)} operations\n"
        yield "| operation | here |\n|---|---|"
        for name in sorted(names):
            yield f"| [`{name}`](#{name.lower()}) | implemented |" if name in table else f"| `{name}` | refused |"
        yield ""


def _parameters() -> Iterator[str]:
    known = supported()
    yield "## Parameters\n"
    yield "`A[].B` is the member B of each element of the list A. A parameter stands for all that is below it.\n"
    for service, (_, table) in _APIS.items():
        for name in sorted(table):
            yield from _of_operation(service_model(service).operation_model(name), known.get(name))


def _of_operation(operation: OperationModel, known: Supported | None) -> Iterator[str]:
    yield f"### {operation.name}\n"
    members = operation.input_shape.members if operation.input_shape else {}
    if known is None:
        yield f"- **works**: {', '.join(f'`{name}`' for name in members) or 'it has none'}\n"
        return
    fates: dict[str, list[str]] = {"works": [], "accepted and described, without effect here": [], "refused": []}
    for path, fate in _fates(operation.input_shape, known, ""):
        note = f" ({known.notes[path]})" if path in known.notes else ""
        fates[fate].append(f"`{path}`{note}")
    for fate, paths in fates.items():
        if paths:
            yield f"- **{fate}**: {', '.join(paths)}"
    yield ""


def _fates(shape: StructureShape, known: Supported, prefix: str) -> Iterator[tuple[str, str]]:
    for name, member in shape.members.items():
        path = f"{prefix}{name}"
        if path in known.works:
            yield path, "works"
        elif path in known.no_effect:
            yield path, "accepted and described, without effect here"
        elif not known.reaches_into(path):
            yield path, "refused"
        else:
            inner, ending = _inside(member)
            yield from _fates(inner, known, f"{path}{ending}.")


def _inside(shape: Shape) -> tuple[StructureShape, str]:
    ending = ""
    while isinstance(shape, ListShape):
        shape, ending = shape.member, f"{ending}[]"
    if not isinstance(shape, StructureShape):
        raise TypeError(f"{shape.name} has no members")
    return shape, ending


if __name__ == "__main__":
    sys.stdout.write(page())
