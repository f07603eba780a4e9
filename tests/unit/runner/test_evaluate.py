"""Scores of a clustering: known values, properties, and the errors on held-out ratings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from runner.data import DataError
from runner.dataset import load_dataset
from runner.evaluate import CLUSTER_SHRINKAGE, FILM_SHRINKAGE, HeldOut, adjusted_rand_index, hold_out, rating_errors
from runner.preprocess import split, to_matrix

MOVIELENS = Path(__file__).parents[3].parent / "shared/data/ml-latest-small"
KMeans = Callable[[csr_matrix, int, int], tuple[np.ndarray, np.ndarray]]
labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


def some_ratings(shape: tuple[int, int], seed: int) -> csr_matrix:
    """Ratings from 1 to 5 in about half of the cells."""
    random = np.random.default_rng(seed)
    return csr_matrix((random.integers(1, 6, shape) * (random.random(shape) < 0.5)).astype(np.float32))


def test_a_known_value() -> None:
    """Two groupings of six items: index 2 of 15 pairs, expected 3·4/15, at most 3.5, counted by hand."""
    one, other = np.array([0, 0, 0, 1, 2, 3]), np.array([0, 0, 1, 1, 1, 2])
    # Pairs together: in one 3; in the other 1 + 3 = 4; in both 1.
    assert adjusted_rand_index(one, other) == pytest.approx((1 - 12 / 15) / (3.5 - 12 / 15))


@given(labels, st.permutations(range(5)))
def test_names_and_order_of_the_groups_do_not_matter(pairs: list[tuple[int, int]], names: list[int]) -> None:
    """The index is symmetric, at most 1, and blind to what groups are called."""
    one, other = np.array(pairs).T
    index = adjusted_rand_index(one, other)
    assert index <= 1
    assert adjusted_rand_index(other, one) == pytest.approx(index)
    assert adjusted_rand_index(np.array(names)[one], other) == pytest.approx(index)
    assert adjusted_rand_index(one, np.array(names)[one]) == 1


@given(labels)
def test_it_agrees_with_counting_pairs(pairs: list[tuple[int, int]]) -> None:
    """The formula by contingency table is the one by pairs of items."""
    count = len(pairs)
    couples = [(i, j) for i in range(count) for j in range(i)]
    same = [(pairs[i][0] == pairs[j][0], pairs[i][1] == pairs[j][1]) for i, j in couples]
    one, other, both = (sum(each) for each in zip(*((a, b, a and b) for a, b in same), strict=True))
    expected, most = one * other / len(couples), (one + other) / 2
    index = 1.0 if most == expected else (both - expected) / (most - expected)
    assert adjusted_rand_index(*np.array(pairs).T) == pytest.approx(index)


def test_chance_scores_about_zero() -> None:
    """Independent labels agree no more than chance."""
    random = np.random.default_rng(0)
    assert abs(adjusted_rand_index(random.integers(8, size=5000), random.integers(8, size=5000))) < 0.01


def test_labels_of_other_items_are_refused() -> None:
    """Both groupings are of the same items."""
    with pytest.raises(DataError, match="3 and 2 labels"):
        adjusted_rand_index(np.zeros(3), np.zeros(2))


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_held_out_ratings_are_a_share_of_each_users(seed: int, share: float) -> None:
    """Visible and hidden ratings are the test ratings again, and every user keeps one."""
    test = some_ratings((7, 12), 3)
    held = hold_out(test, seed, share)
    hidden = csr_matrix((held.ratings.astype(np.float32), (held.rows, held.columns)), shape=test.shape)
    assert (held.visible + hidden != test).nnz == 0
    assert held.visible.nnz + len(held.ratings) == test.nnz
    counts = np.diff(test.indptr)
    assert np.bincount(held.rows, minlength=7).tolist() == [
        max(1, int(share * count)) if count > 1 else 0 for count in counts
    ]


def test_hiding_is_seeded() -> None:
    """The same seed hides the same ratings, another one others."""
    test = some_ratings((20, 50), 3)
    first, again, other = (hold_out(test, seed).columns.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_user_with_one_rating_keeps_it() -> None:
    """A row must not become empty: it could not be clustered."""
    held = hold_out(csr_matrix(np.array([[5, 0, 0], [1, 2, 3]], dtype=np.float32)), 0)
    assert held.visible[0].nnz == 1
    assert set(held.rows) == {1}
    with pytest.raises(DataError, match="none can be held out"):
        hold_out(csr_matrix(np.eye(3, dtype=np.float32)), 0)


def test_errors_and_fall_backs_by_hand() -> None:
    """Each mean, plain and shrunk, is the stated one; unknown films fall back as stated."""
    # Columns: known to the cluster; known to the other cluster only; known to nobody.
    train = csr_matrix(np.array([[4, 0, 0], [2, 1, 0], [0, 1, 0]], dtype=np.float32))
    held = HeldOut(
        csr_matrix((1, 3), dtype=np.float32), np.array([0, 0, 0]), np.array([0, 1, 2]), np.array([4.0, 2.0, 3.0])
    )
    errors = rating_errors(train, np.array([0, 1, 1]), held, np.array([0]))

    def rmse(*foretold: float) -> float:
        return float(np.sqrt(np.mean((np.array(foretold) - held.ratings) ** 2)))

    overall = 2.0
    films = [(6 + FILM_SHRINKAGE * overall) / (2 + FILM_SHRINKAGE), (2 + FILM_SHRINKAGE * 2) / (2 + FILM_SHRINKAGE)]
    cluster = (4 + CLUSTER_SHRINKAGE * films[0]) / (1 + CLUSTER_SHRINKAGE)
    assert errors.global_mean == pytest.approx(rmse(2, 2, 2))
    assert errors.plain_film_mean == pytest.approx(rmse(3, 1, 2))
    assert errors.plain_cluster_mean == pytest.approx(rmse(4, 1, 2))
    assert errors.film_mean == pytest.approx(rmse(*films, 2))
    assert errors.cluster_mean == pytest.approx(rmse(cluster, films[1], 2))
    assert (errors.hidden_ratings, errors.fallbacks) == (3, 2)


def test_clusters_may_come_from_a_function() -> None:
    """An endpoint is asked for the clusters of the visible rows, never of the hidden ratings."""
    train = some_ratings((20, 30), 1)
    held = hold_out(some_ratings((6, 30), 2), 0)
    asked = []

    def endpoint(rows: csr_matrix) -> np.ndarray:
        asked.append(rows)
        return np.array([0, 1, 0, 1, 0, 1])

    clusters = np.arange(20) % 2
    assert rating_errors(train, clusters, held, endpoint) == rating_errors(
        train, clusters, held, np.array([0, 1, 0, 1, 0, 1])
    )
    assert asked == [held.visible]


def test_clusters_of_other_rows_are_refused() -> None:
    """Assignments that do not fit would give an error of something else."""
    test = csr_matrix(np.ones((2, 3), dtype=np.float32))
    with pytest.raises(DataError, match="do not fit"):
        rating_errors(test, np.zeros(2), hold_out(test, 0), np.zeros(3))


@pytest.mark.skipif(not MOVIELENS.is_dir(), reason="../shared/data/ml-latest-small is not here")
@pytest.mark.parametrize("k", [8, 20])
def test_on_real_ratings_the_clusters_beat_the_global_mean(spherical_k_means: KMeans, k: int) -> None:
    """On ml-latest-small, cluster means foretell held-out ratings well better than the global mean."""
    data = load_dataset(MOVIELENS / "movies.csv", MOVIELENS / "ratings.csv", MOVIELENS / "links.csv")
    parts = split(to_matrix(data), 0.2, 1)
    clusters, centres = spherical_k_means(parts.train, k, 1)
    held = hold_out(parts.test, 1)
    errors = rating_errors(parts.train, clusters, held, lambda rows: (rows @ centres.T).argmax(axis=1))
    assert errors.cluster_mean < errors.global_mean - 0.05
    assert errors.cluster_mean < errors.film_mean + 0.01
