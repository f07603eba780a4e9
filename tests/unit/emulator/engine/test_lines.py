"""Cutting output into lines."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emulator.engine.lines import LONGEST, Lines


def cut(*chunks: bytes) -> list[str]:
    """All lines of these chunks."""
    lines = Lines()
    return [text for chunk in chunks for text in lines.feed(chunk)] + list(lines.end())


@given(st.text(st.characters(exclude_characters="\r", codec="utf-8")), st.lists(st.integers(0, 400), max_size=8))
def test_where_chunks_end_does_not_matter(text: str, cuts: list[int]) -> None:
    """However the bytes are cut into chunks, even within a character, the lines are those of the text."""
    data = text.encode()
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    expected = text.split("\n")
    if expected[-1] == "":
        expected.pop()
    assert cut(*(data[a:b] for a, b in pairwise(edges))) == expected


def test_line_ends() -> None:
    """A carriage return before the newline goes, an empty line stays, and so does the last line without a newline."""
    assert cut(b"a\r\n\nb\rc") == ["a", "", "b\rc"]


def test_bytes_that_are_not_utf8() -> None:
    """They become the replacement character, and nothing else is lost."""
    assert cut(b"a\xffb\n") == ["a\ufffdb"]


def test_a_very_long_line_goes_on_in_the_next() -> None:
    """Nothing is lost or split within a character, and no line is longer than CloudWatch takes."""
    text = "ä€😀" * 100_000
    lines = cut(*[text.encode()[i : i + 65536] for i in range(0, len(text.encode()), 65536)])
    assert "".join(lines) == text
    assert max(len(line.encode()) for line in lines) <= LONGEST
