import base64
import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from model_server.errors import NotImplementedHereError
from model_server.signatures import Tensor
from model_server.tensors import ValueProblem, to_array

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "bool"]


def tensor(dtype: str, *shape: int | None) -> Tensor:
    """An input named x."""
    return Tensor("x", dtype, shape)


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    st.booleans(),
)
def test_arrays_survive_their_lists(array: Any, known: bool) -> None:
    """What NumPy writes as lists is read as the same array, every dtype and every value of it."""
    sizes = tuple(None for _ in array.shape) if known else None
    read = to_array(array.tolist(), Tensor("x", array.dtype.name, sizes))
    assert read.dtype == array.dtype
    if array.size:
        assert read.shape == array.shape
    np.testing.assert_array_equal(read.ravel(), array.ravel())


@given(st.lists(st.binary(), min_size=1))
def test_bytes_come_as_base64(values: list[bytes]) -> None:
    """Any bytes can be sent, with or without padding."""
    as_json = [{"b64": base64.b64encode(value).decode()} for value in values]
    assert to_array(as_json, tensor("string", None)).tolist() == values
    bare = [{"b64": base64.b64encode(value).decode().rstrip("=")} for value in values]
    assert to_array(bare, tensor("string", None)).tolist() == values


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=6))
def test_any_json_is_an_array_or_a_problem(value: Any) -> None:
    """No value makes anything else than an array or a ValueProblem."""
    for candidate in (tensor("float32", None, 2), Tensor("x", "int8", None), tensor("string", None), tensor("bool")):
        with contextlib.suppress(ValueProblem):
            assert to_array(value, candidate).dtype in (np.float32, np.int8, np.bool_, object)


def test_strings_are_utf8() -> None:
    """Strings of any shape become bytes."""
    array = to_array([["grün", "b"], ["", "d"]], tensor("string", None, 2))
    assert array.tolist() == [["grün".encode(), b"b"], [b"", b"d"]]
    assert to_array("a", tensor("string")).tolist() == b"a"


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "path", "words"),
    [
        ([[1, 2, 3]], "float32", (None, 4), (0,), "got a list of 3 values, expected 4 for the input 'x' (float32"),
        ([[1], [1, 2]], "float32", (None, None), (1,), "expected 1 as in the list(s) before it"),
        ([1, 2], "float32", (None, 4), (0,), "got 1, expected a list of 4 values"),
        ([[[1]]], "float32", (None, 1), (0, 0), "got a list of 1 value, expected a number"),
        ([1, [2]], "float32", (None,), (1,), "got a list of 1 value, expected a number"),
        (5, "float32", (None,), (), "got 5, expected a list"),
        ([1], "float32", (2,), (), "got a list of 1 value, expected 2"),
        ([[1, "2"]], "float32", (None, 2), (0, 1), '"2" is not a number'),
        ([[1, None]], "float64", (None, 2), (0, 1), "null is not a number"),
        ([1, True], "int32", (None,), (1,), "true is not an integer"),
        ([1, 1.0], "int32", (None,), (1,), "1.0 is not an integer"),
        ([0, 1], "bool", (None,), (0,), "0 is not true or false"),
        (["a", 1], "string", (None,), (1,), "1 is not a string"),
        (["a", {"b65": "aa"}], "string", (None,), (1,), "an object is not a string, unless"),
        ([["a", {"b64": "a"}]], "string", (None, 2), (0, 1), "unable to base64 decode"),
        (["\ud800"], "string", (None,), (0,), "surrogate"),
        ([1, 300], "uint8", (None,), (1,), "300 is not between 0 and 255"),
        ([-1], "uint64", (None,), (0,), "-1 is not between"),
        ([1, 2**63], "int64", (None,), (1,), "9223372036854775808 is not between"),
        ([-1, 2**64], "int64", (None,), (1,), "is not between"),
        ([0.5, 2**24], "float32", (None,), (1,), "16777216 to float32 without loss of precision"),
        ([2**53], "float64", (None,), (0,), "without loss of precision"),
        ([10**400], "float32", (None,), (0,), "without loss of precision"),
        ([1.0, -1e39], "float32", (None,), (1,), "-1e+39 is too large"),
        ([[]], "float32", (None, 4), (0,), "got a list of 0 values, expected 4"),
    ],
)
def test_a_problem_has_a_place_and_a_reason(
    value: Any, dtype: str, shape: tuple[int | None, ...], path: tuple[int, ...], words: str
) -> None:
    """The first wrong element is named by its indices, with what was expected."""
    with pytest.raises(ValueProblem) as caught:
        to_array(value, Tensor("x", dtype, shape))
    assert caught.value.path == path
    assert words in caught.value.reason


def test_lists_deeper_than_numpy_are_refused() -> None:
    """An input of any rank has a limit, too."""
    value: Any = 1
    for _ in range(900):
        value = [value]
    with pytest.raises(ValueProblem, match="deeper than 32"):
        to_array(value, Tensor("x", "float32", None))


def test_integers_of_uint64_keep_every_digit() -> None:
    """Small and large ones together do not pass through a double."""
    values = [1, 2**63, 2**64 - 1]
    assert to_array(values, tensor("uint64", None)).tolist() == values


def test_dtypes_without_json_are_named() -> None:
    """TensorFlow Serving has no JSON form for complex numbers, say."""
    with pytest.raises(NotImplementedHereError, match="complex64"):
        to_array([1], tensor("complex64", None))
