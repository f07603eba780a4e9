"""Pearson's correlation: equal to NumPy's where that is defined, and 0 where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from runner.pearson import correlations, similarities


def row(*ratings: float) -> csr_matrix:
    """One user."""
    return csr_matrix(np.array([ratings], dtype=np.float32))


half_steps = st.lists(st.integers(0, 10), min_size=8, max_size=8)


@given(half_steps, st.lists(half_steps, min_size=1, max_size=6))
def test_it_agrees_with_numpy_on_co_rated_films(user: list[int], others: list[list[int]]) -> None:
    """For any ratings, r is NumPy's over the films that both have rated, or 0 where NumPy has none."""
    mine, theirs = np.array(user) / 2, np.array(others) / 2
    found, counts = correlations(csr_matrix(mine[None, :].astype(np.float32)), csr_matrix(theirs.astype(np.float32)))
    for other, r, count in zip(theirs, found, counts, strict=True):
        both = (mine > 0) & (other > 0)
        assert count == both.sum()
        constant = not both.any() or np.ptp(mine[both]) == 0 or np.ptp(other[both]) == 0
        expected = 0.0 if constant else np.corrcoef(mine[both], other[both])[0, 1]
        assert r == pytest.approx(expected, abs=1e-6)


@given(half_steps, half_steps)
def test_it_is_symmetric(one: list[int], other: list[int]) -> None:
    """Who is compared with whom does not matter."""
    first, second = row(*(value / 2 for value in one)), row(*(value / 2 for value in other))
    assert similarities(first, second, 1, 5)[0] == pytest.approx(similarities(second, first, 1, 5)[0], abs=1e-12)


@pytest.mark.parametrize(
    "other",
    [row(0, 0, 0, 3, 4), row(0, 0, 5, 3, 4), row(3.3, 3.3, 3.3, 0, 0), row(0, 0, 0, 0, 0)],
    ids=["no overlap", "one film", "constant", "no ratings"],
)
def test_where_it_is_not_defined_it_is_zero(other: csr_matrix) -> None:
    """Nothing in common, or nothing to tell apart, is no similarity; it is not NaN either."""
    assert correlations(row(1, 2, 5, 0, 0), other)[0].tolist() == [0.0]


def test_constant_ratings_of_the_user_are_no_similarity() -> None:
    """A user who rates all films alike is like nobody, also when the mean is not exact."""
    assert correlations(row(0.1, 0.1, 0.1), row(1, 2, 3))[0].tolist() == [0.0]


def test_a_few_common_films_count_little() -> None:
    """The significance rule: nothing below the least overlap, then in proportion up to the full overlap."""
    user = csr_matrix(np.tile([1.0, 5.0], 40)[None, :].astype(np.float32))
    others = np.zeros((4, 80), dtype=np.float32)
    for place, overlap in enumerate((2, 4, 50, 80)):
        others[place, :overlap] = np.tile([2.0, 4.0], 40)[:overlap]
    np.testing.assert_allclose(similarities(user, csr_matrix(others)), [0, 4 / 50, 1, 1])


def test_a_user_without_ratings_is_like_nobody() -> None:
    """An empty row gives zeros, one for each other user."""
    assert similarities(row(0, 0), csr_matrix(np.ones((3, 2), dtype=np.float32))).tolist() == [0, 0, 0]
