import contextlib
import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server import csv_values
from model_server.errors import BadInputError

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
# What Python's splitlines would take for the end of a line is none here, but \r and \n are.
words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(lambda text: f"a{text}")


@given(st.lists(st.lists(numbers, min_size=2, max_size=5), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_numbers_stay_numbers(rows: list[list[Any]], end: str) -> None:
    """Integers stay integers and floats keep their value."""
    body = end.join(",".join(repr(cell).replace("inf", "Infinity") for cell in row) for row in rows)
    read = csv_values.parse(body.encode())
    assert read == rows
    assert [[type(cell) for cell in row] for row in read] == [[type(cell) for cell in row] for row in rows]


@given(st.lists(st.lists(words | numbers, min_size=2, max_size=4), min_size=1, max_size=4))
def test_what_pythons_csv_writes(rows: list[list[Any]]) -> None:
    """Cells with commas and quotes survive, strings stay strings."""
    text = io.StringIO()
    csv.writer(text).writerows(
        [[repr(cell).replace("inf", "Infinity") if isinstance(cell, float) else cell for cell in row] for row in rows]
    )
    assert csv_values.parse(text.getvalue().encode()) == rows


@given(st.binary() | st.text().map(str.encode) | st.text('",1a.e-\n ', max_size=20).map(str.encode))
def test_any_bytes_are_instances_or_refused(body: bytes) -> None:
    """Whatever comes is instances or a BadInputError, never another exception."""
    with contextlib.suppress(BadInputError):
        assert csv_values.parse(body)


@pytest.mark.parametrize(
    ("body", "instances"),
    [
        ("1", [1]),
        ("1.5\n\n2\n", [1.5, 2]),
        ("abc", ["abc"]),
        ("1,2", [[1, 2]]),
        ("1, 2 ,3", [[1, 2, 3]]),
        ("+1,.5,5.", [[1, 0.5, 5.0]]),
        ("1,,2", [[1, "", 2]]),
        ("1,", [[1, ""]]),
        ("a,1,b", [["a", 1, "b"]]),
        ('"1",2', [["1", 2]]),
        ('"a ""b"", c",2', [['a "b", c', 2]]),
        ('"a,b"', [["a,b"]]),
        ("1-2", ["1-2"]),
        ("1e5,-2E-1", [[1e5, -0.2]]),
        ("01,2", [[1, 2]]),
        ("\ufeff1,2", [[1, 2]]),
        ("9" * 500 + ",1", [["9" * 500, 1]]),
        ("ü,x", [["ü", "x"]]),
    ],
)
def test_cells(body: str, instances: list[Any]) -> None:
    """A line with a comma is a list, one without a scalar; what is no number is a string."""
    assert csv_values.parse(body.encode()) == instances


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"1,2\n\xff,1", "line 2 at byte 0"),
        (b'1,2\n3,"4', "Line 2, column 2"),
        (b'"4"5,1', "Line 1, column 1"),
    ],
)
def test_bad_csv_has_a_place(body: bytes, words: str) -> None:
    """The message names line and column."""
    with pytest.raises(BadInputError, match=words):
        csv_values.parse(body)
