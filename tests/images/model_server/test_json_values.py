import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server import json_values
from model_server.errors import BadInputError

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
space = st.text(" \t\r\n", min_size=1, max_size=3)


@given(values)
def test_a_value_is_what_json_says(value: Any) -> None:
    """One value is read as the standard library wrote it, infinities included."""
    assert json_values.parse(json.dumps(value).encode()) == value


@given(st.lists(st.tuples(values, space), min_size=1, max_size=4), space, st.booleans())
def test_values_after_each_other(items: list[tuple[Any, str]], start: str, indent: bool) -> None:
    """Any white space may be between values, and a value may take several lines."""
    text = start + "".join(json.dumps(value, indent=2 if indent else None) + gap for value, gap in items)
    assert json_values.parse_many(text.encode()) == [value for value, _ in items]


@given(st.binary() | st.text().map(str.encode) | st.text('[]{},:"0eE+-.NaInfity \n', max_size=30).map(str.encode))
def test_any_other_bytes_are_refused_by_name(body: bytes) -> None:
    """Whatever comes is values or a BadInputError, never another exception."""
    with contextlib.suppress(BadInputError):
        assert json_values.parse_many(body)


def test_lists_may_touch_each_other() -> None:
    """AWS's container takes `[1][2]` for two instances; scalars need white space."""
    assert json_values.parse_many(b'[1][2]{"a":3}') == [[1], [2], {"a": 3}]
    with pytest.raises(BadInputError, match=r"Extra data: line 1 column 4"):
        json_values.parse_many(b'1 2"a"')
    with pytest.raises(BadInputError, match=r"Extra data: line 1 column 4"):
        json_values.parse_many(b"[1],[2]")


def test_nan_and_infinity_are_numbers() -> None:
    """TensorFlow Serving's JSON has three tokens that JSON has not."""
    nan, infinity, minus = json_values.parse(b"[NaN, Infinity, -Infinity]")
    assert math.isnan(nan)
    assert (infinity, minus) == (math.inf, -math.inf)


def test_a_byte_order_mark_is_skipped() -> None:
    """Files of Windows programs start with one."""
    assert json_values.parse(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"[1, 2", "line 1 column 6"),
        (b"[1,\n 2,\n x]", "line 3 column 2"),
        (b'["\xff"]', "UTF-8 at byte 2"),
        (b"[1] [2", "line 1 column 7"),
        (b"[NaN, 1e999]", "1e999 is too big"),
        (b"[NaN, " + b"9" * 5000 + b"]", "limit"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_has_a_place(body: bytes, words: str) -> None:
    """The message says where the body stops being JSON."""
    with pytest.raises(BadInputError, match=words):
        json_values.parse_many(body)


def test_one_value_is_not_two() -> None:
    """Where one value is expected a second one is an error."""
    with pytest.raises(BadInputError, match="2 JSON values"):
        json_values.parse(b"[1]\n[2]")


def test_descriptions_are_short() -> None:
    """A message never repeats a value of a megabyte."""
    assert json_values.describe([1, 2, 3]) == "a list of 3 values"
    assert json_values.describe({"a": 1}) == "an object"
    assert json_values.describe(None) == "null"
    assert len(json_values.describe("x" * 1_000_000)) < 100
