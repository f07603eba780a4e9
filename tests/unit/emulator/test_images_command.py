"""`images build|list`: what is asked for, and how the answer is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.command_line import parser
from emulator.engine.docker_images import Image, Listed
from emulator.images_command import Wish, as_json, run, table
from emulator.settings import Settings

LISTED = [
    Listed("tensorflow-training:2.14.1-cpu-py310*", Image("ours/training:1", ("entry",), True, 1_367_000_000)),
    Listed("aws.example/tensorflow-training:2.14.1-cpu-py310", None),
    Listed("aws.example/inference:1", Image("aws.example/inference:1", (), False, 1)),
]


def test_json_is_by_name_and_null_where_nothing_is_built() -> None:
    """What `docker run` takes, whose it is and its bytes; the way in does not matter to who runs it."""
    assert json.loads(as_json(LISTED)) == {
        LISTED[0].name: {"reference": "ours/training:1", "built_here": True, "size": 1_367_000_000},
        LISTED[1].name: None,
        LISTED[2].name: {"reference": "aws.example/inference:1", "built_here": False, "size": 1},
    }


def test_a_table_for_people() -> None:
    """A line an image, in columns: what stands for it, or that it is not built, or used as it is."""
    head, built, missing, foreign = table(LISTED).splitlines()
    assert head.split() == ["STANDS", "FOR", "IMAGE", "SIZE"]
    assert built.split() == [LISTED[0].name, "ours/training:1", "1367", "MB"]
    assert "not built" in missing
    assert "used as it is" in foreign
    assert len({line.index(word) for line, word in zip([head, built], ["IMAGE", "ours"], strict=True)}) == 1


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        (["build"], Wish(build=True)),
        (["list", "--json"], Wish(build=False, as_json=True)),
        (["build", "--json", "a:1", "b:2"], Wish(build=True, uris=("a:1", "b:2"), as_json=True)),
        (["build", "a:1", "--json"], Wish(build=True, uris=("a:1",), as_json=True)),
        (["list", "--pull", "a:1", "--pull", "b:2", "c:3"], Wish(False, ("c:3",), ("a:1", "b:2"))),
    ],
)
def test_what_is_asked_for(arguments: list[str], wish: Wish) -> None:
    """Flags may stand before and after the URIs."""
    assert Wish.of(parser().parse_args(["images", *arguments])) == wish


def test_without_docker_there_are_no_images(tmp_path: Path) -> None:
    """The reason is said, nothing is printed, and the status is 1."""
    settings = Settings(
        *(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path / "images.toml"),
        docker_url=f"unix://{tmp_path}/no-docker.sock",
    )
    said: list[str] = []
    reported: list[str] = []
    assert run(settings, Wish(build=False, as_json=True), said.append, reported.append) == 1
    assert said == []
    assert "no-docker.sock is not there" in reported[0]
