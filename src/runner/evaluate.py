"""Scores a clustering: against hidden groups, and by how well a cluster's mean foretells ratings that were held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from runner.data import DataError

HIDDEN_SHARE = 0.2  # of each test user's ratings
# Round numbers near the best of ml-latest-small, where the best is flat.
FILM_SHRINKAGE = 2.0  # global means that a film's mean is mixed with
CLUSTER_SHRINKAGE = 10.0  # film's means that a cluster's mean of the film is mixed with


@dataclass(frozen=True)
class HeldOut:
    """Test users with some of their ratings taken away: the rows to be clustered, and the ratings to be foretold."""

    visible: csr_matrix  # the shape of the test matrix
    rows: np.ndarray  # int64, (hidden ratings,)
    columns: np.ndarray
    ratings: np.ndarray  # float64


@dataclass(frozen=True)
class RatingErrors:
    """Root mean square errors on the same held-out ratings, in the unit of the ratings.

    The plain means are what they say; the others are shrunk, so that one vote counts little (see `rating_errors`).
    """

    global_mean: float
    film_mean: float
    cluster_mean: float
    plain_film_mean: float
    plain_cluster_mean: float
    hidden_ratings: int
    fallbacks: int  # hidden ratings whose film nobody of the cluster has rated: the film's mean foretold those


def adjusted_rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two groupings of the same items agree: 1 for the same, about 0 for chance. Symmetric.

    Hubert and Arabie 1985, "Comparing partitions", https://doi.org/10.1007/BF01908075, equation 5:
    (Σ C(n_ij, 2) - E) / ((Σ C(a_i, 2) + Σ C(b_j, 2)) / 2 - E) with E = Σ C(a_i, 2) · Σ C(b_j, 2) / C(n, 2).
    Two trivial groupings of one kind (all together, or all apart) agree: 1. Raises DataError for unequal lengths.
    """
    one, other = np.asarray(one).ravel(), np.asarray(other).ravel()
    if len(one) != len(other):
        raise DataError(f"{len(one)} and {len(other)} labels cannot be compared; there must be two for each item")
    _, a = np.unique(one, return_inverse=True)
    labels, b = np.unique(other, return_inverse=True)
    together = _pairs(np.unique(a * max(1, len(labels)) + b, return_counts=True)[1])
    first, second = _pairs(np.bincount(a)), _pairs(np.bincount(b))
    everything = len(one) * (len(one) - 1) / 2
    expected = first * second / everything if everything else 0.0
    most = (first + second) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def hold_out(test: csr_matrix, seed: int, share: float = HIDDEN_SHARE) -> HeldOut:
    """Hide a seeded share of each test user's ratings: ⌊share × n⌋, at least one, of users with two ratings or more.

    Users with one rating keep it. Raises DataError when nothing can be hidden, or for a share outside 0 to 1.
    """
    if not 0 < share < 1:
        raise DataError(f"the share of held-out ratings is {share}; it must lie between 0 and 1")
    counts = np.diff(test.indptr)
    row = np.repeat(np.arange(test.shape[0]), counts)
    hidden_counts = np.where(counts >= 2, np.maximum(1, np.floor(share * counts)), 0).astype(np.int64)
    if not hidden_counts.sum():
        raise DataError("no test user has two ratings, so none can be held out. Give more users or ratings")
    # Shuffle within each row: sort by row, then by a random key; the first of each row are hidden.
    order = np.lexsort((np.random.default_rng(seed).random(test.nnz), row))
    place = np.arange(test.nnz) - np.repeat(test.indptr[:-1], counts)
    hidden = np.zeros(test.nnz, dtype=bool)
    hidden[order] = place < hidden_counts[row]
    visible = csr_matrix((test.data[~hidden], (row[~hidden], test.indices[~hidden])), shape=test.shape)
    return HeldOut(
        visible=visible,
        rows=row[hidden],
        columns=test.indices[hidden].astype(np.int64),
        ratings=test.data[hidden].astype(np.float64),
    )


def rating_errors(
    train: csr_matrix,
    train_clusters: np.ndarray,
    held_out: HeldOut,
    test_clusters: np.ndarray | Callable[[csr_matrix], np.ndarray],
) -> RatingErrors:
    """Foretell held-out ratings by the training ratings' global mean, film means, and the clusters' means of films.

    `test_clusters` are the cluster indices of the rows of `held_out.visible`, or what returns them for such rows (an
    endpoint, say). A film's mean is (sum of its n ratings + FILM_SHRINKAGE × global mean) / (n + FILM_SHRINKAGE); a
    cluster's mean of a film is (sum of the cluster's n ratings + CLUSTER_SHRINKAGE × film's mean) /
    (n + CLUSTER_SHRINKAGE). The fall-backs, plain or shrunk: where nobody of the cluster has rated the film, the film's
    mean; where nobody at all has, the global mean. Raises DataError for arrays that do not fit.
    """
    clusters = test_clusters(held_out.visible) if callable(test_clusters) else test_clusters
    clusters, of_train = np.asarray(clusters, dtype=np.int64), np.asarray(train_clusters, dtype=np.int64)
    if (len(clusters), len(of_train)) != (held_out.visible.shape[0], train.shape[0]):
        raise DataError(
            f"{len(of_train)} and {len(clusters)} cluster indices do not fit {train.shape[0]} training rows and "
            f"{held_out.visible.shape[0]} test rows"
        )
    if not train.nnz:
        raise DataError("there are no training ratings to take means of")
    overall = np.full(train.shape[1], train.data.mean(dtype=np.float64))
    plain, shrunk = _means(train, overall, 0.0), _means(train, overall, FILM_SHRINKAGE)
    films = held_out.columns
    by_cluster = {"plain": plain[films], "shrunk": shrunk[films]}
    fallbacks = 0
    for cluster in np.unique(clusters):
        members = train[np.flatnonzero(of_train == cluster)]
        asked = clusters[held_out.rows] == cluster
        by_cluster["plain"][asked] = _means(members, plain, 0.0)[films[asked]]
        by_cluster["shrunk"][asked] = _means(members, shrunk, CLUSTER_SHRINKAGE)[films[asked]]
        fallbacks += int((~np.isin(films[asked], members.indices)).sum())

    def rmse(foretold: np.ndarray) -> float:
        return float(np.sqrt(np.mean((foretold - held_out.ratings) ** 2)))

    return RatingErrors(
        global_mean=rmse(overall[films]),
        film_mean=rmse(shrunk[films]),
        cluster_mean=rmse(by_cluster["shrunk"]),
        plain_film_mean=rmse(plain[films]),
        plain_cluster_mean=rmse(by_cluster["plain"]),
        hidden_ratings=len(held_out.ratings),
        fallbacks=fallbacks,
    )


def _pairs(sizes: np.ndarray) -> float:
    """Return how many pairs of items are in the same group."""
    sizes = sizes.astype(np.float64)
    return float((sizes * (sizes - 1) / 2).sum())


def _means(ratings: csr_matrix, prior: np.ndarray, strength: float) -> np.ndarray:
    """Return films' means, mixed with `strength` times their priors, which also stand where there is no rating."""
    raters = np.bincount(ratings.indices, minlength=ratings.shape[1])
    total = np.bincount(ratings.indices, weights=ratings.data, minlength=ratings.shape[1]).astype(np.float64)
    means = prior.copy()
    np.divide(total + strength * prior, raters + strength, out=means, where=raters > 0)
    return means
