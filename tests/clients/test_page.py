"""docs/clients.md: its examples and versions are those of what is run."""

from __future__ import annotations

import json
import re

import pytest
from client_programs import HERE
from rehearsal import ROOT

PAGE = (ROOT / "docs/clients.md").read_text("utf-8")
EXAMPLES = re.findall(r"^From \[`([\w./-]+)`\]\(\.\./tests/clients/\1\):\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)


def test_there_is_an_example_of_each_client() -> None:
    """One of each folder."""
    assert sorted(name.split("/")[0] for name, _ in EXAMPLES) == ["boto3", "cli", "javascript", "sdk_v2", "sdk_v3"]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_part_of_its_program(name: str, example: str) -> None:
    """Line by line, but for the indentation."""
    program = [line.strip() for line in (HERE / name).read_text("utf-8").splitlines()]
    assert [line for line in example.splitlines() if line.strip() not in program] == []


@pytest.mark.parametrize(
    ("client", "package"), [("boto3", "boto3"), ("cli", "awscli"), ("sdk_v2", "sagemaker"), ("sdk_v3", "sagemaker")]
)
def test_the_versions_are_those_that_are_pinned(client: str, package: str) -> None:
    """Whoever pins another one has tried it, and says so on the page."""
    requirements = (HERE / client / "requirements.txt").read_text("utf-8")
    version = re.search(rf"^{package}==(\S+)$", requirements, re.M)
    assert version
    assert f"| {version[1]}" in PAGE


def test_the_version_for_javascript_is_the_pinned_one() -> None:
    """One version for all of its packages."""
    pinned = set(json.loads((HERE / "javascript/package.json").read_text("utf-8"))["dependencies"].values())
    assert len(pinned) == 1
    assert f"| {pinned.pop()} on Node.js" in PAGE
