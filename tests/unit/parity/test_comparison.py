"""The comparison of the parity tests: what differs is told, and what is allowed must occur."""

from __future__ import annotations

import pytest
from comparison import TOLERANCE, Difference, compare, flatten, with_names

HOST = Difference("host name", ("HOST", "HOSTS/*"), "each engine has its own", r"algo-1-\w{5}", "algo-1")


def test_nested_values_are_compared_leaf_by_leaf() -> None:
    """Mappings, sequences and texts that are JSON of either are taken apart; empty ones are values."""
    value = {"A": {"b": [1, "x"]}, "C": '{"d":["e"],"f":{}}', "G": "[no JSON", "H": [], "I": "7"}
    assert dict(flatten(value)) == {
        **{"A/b/0": 1, "A/b/1": "x", "C/d/0": "e", "C/f": {}},
        **{"G": "[no JSON", "H": [], "I": "7"},
    }


def test_equal_observations_have_no_problems() -> None:
    """Also where numbers differ within the tolerance, whose greatest distance is told."""
    found = compare({"a": 1.0 + TOLERANCE / 2, "b": "x", "c": 3}, {"a": 1.0, "b": "x", "c": 3}, ())
    assert found.problems("venv", "docker") == ""
    assert found.greatest == pytest.approx(TOLERANCE / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("here", "reference"),
    [
        ({"a": "x"}, {"a": "y"}),
        ({"a": 1.0 + 3 * TOLERANCE}, {"a": 1.0}),
        ({"a": 1}, {"a": 2}),
        ({"a": "1"}, {"a": 1}),
        ({"a": True}, {"a": 1}),
        ({"a": "x"}, {}),
        ({}, {"a": None}),
    ],
)
def test_any_other_difference_is_shown_with_both_sides(here: dict[str, object], reference: dict[str, object]) -> None:
    """Another value, type or nothing at all."""
    problems = compare(here, reference, ()).problems("venv", "docker")
    assert "1 unexpected differences (venv / docker)" in problems
    for side in (here, reference):
        assert repr(side.get("a", "(not there)")) in problems


def test_a_difference_by_name_is_allowed_on_its_keys_and_values_only() -> None:
    """Another key, or another value on either side, is unexpected."""
    seen = {"HOST": "algo-1-x7k2p", "HOSTS/0": "algo-1-x7k2p"}
    told = {"HOST": "algo-1", "HOSTS/0": "algo-1"}
    assert compare(seen, told, [HOST]).problems("sdk", "docker") == ""
    for here, reference in (
        ({**seen, "NAME": "algo-1-x7k2p"}, {**told, "NAME": "algo-1"}),
        ({**seen, "HOSTS/1": "somebody"}, {**told, "HOSTS/1": "algo-1"}),
        ({**seen, "HOSTS/1": "algo-1-x7k2p"}, {**told, "HOSTS/1": "algo-2"}),
    ):
        assert len(compare(here, reference, [HOST]).unexpected) == 1


def test_an_allowed_difference_that_does_not_occur_is_a_problem() -> None:
    """Each of its patterns must be met, unless it is one that occurs sometimes."""
    found = compare({"HOST": "algo-1-x7k2p"}, {"HOST": "algo-1"}, [HOST])
    assert found.problems("sdk", "docker") == (
        "differences that are listed for sdk, but do not occur: host name (HOSTS/*)"
    )
    chance = Difference("measured time", ("seconds",), "chance", sometimes=True)
    assert compare({"seconds": 1}, {"seconds": 1}, [chance]).problems("venv", "docker") == ""


def test_what_every_run_has_its_own_name_for_is_replaced() -> None:
    """The longest text first: a folder's path may hold the job's name. Numbers stay."""
    names = {"job-7": "JOB", "/tmp/job-7/algo-1": "/opt/ml"}
    seen = {"a": "/tmp/job-7/algo-1/code", "b": "s3://x/job-7/y", "c": 7}
    assert with_names(seen, names) == {"a": "/opt/ml/code", "b": "s3://x/JOB/y", "c": 7}
