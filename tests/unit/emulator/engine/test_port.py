"""What a container runs, of what the request and the image say."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.engine.port import Work


@pytest.mark.parametrize(
    ("image", "entrypoint", "arguments", "expected"),
    [
        ((), (), (), ["train"]),
        (("tini", "--"), (), (), ["tini", "--", "train"]),
        (("tini", "--"), (), ("a", "b"), ["tini", "--", "a", "b"]),
        (("tini", "--"), ("sh",), ("-c", "x"), ["sh", "-c", "x"]),
        (("tini", "--"), ("sh",), (), ["sh"]),
    ],
)
def test_a_command_line_is_composed_as_docker_does(
    image: tuple[str, ...], entrypoint: tuple[str, ...], arguments: tuple[str, ...], expected: list[str]
) -> None:
    """An entry point takes the place of the image's and of `train`; arguments alone take that of `train`."""
    work = Work("a", "image", "train", Path("/x"), entrypoint=entrypoint, arguments=arguments)
    assert work.arguments_after(image) == expected
