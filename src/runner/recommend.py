"""Recommends films from the most similar users of the same cluster, and names each cluster's best and worst films."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from runner.data import DataError
from runner.pearson import similarities

PRIOR = 5.0  # average ratings that are added to a film's own, so that one vote does not win
LEAST_RATERS = 5  # of a film among a cluster's best and worst


@dataclass(frozen=True)
class Recommendation:
    """A film for a user."""

    movie_id: int
    title: str
    score: float  # what the user is expected to rate it, on the scale of the ratings
    supporters: int  # neighbours who rated it at or above the threshold


@dataclass(frozen=True)
class RatedFilm:
    """A film as a cluster sees it."""

    movie_id: int
    title: str
    score: float  # the shrunk mean that films are ordered by
    mean: float
    raters: int


@dataclass(frozen=True)
class ClusterFilms:
    """A cluster's best and worst films; none is in both."""

    cluster: int
    users: int
    best: list[RatedFilm]  # the best first
    worst: list[RatedFilm]  # the worst first


@dataclass(frozen=True)
class Clustered:
    """Users whose clusters are known: what recommendations are drawn from."""

    ratings: csr_matrix  # users × films, 0 = not rated
    clusters: np.ndarray  # int64, the cluster of each row
    movies: pd.DataFrame  # column, movie_id, title, in the order of the columns

    def __post_init__(self) -> None:
        users, films = self.ratings.shape
        if (users, films) != (len(self.clusters), len(self.movies)):
            raise DataError(
                f"{users} × {films} ratings do not fit {len(self.clusters)} cluster indices and {len(self.movies)} "
                "films. Use the assignments and the vocabulary that belong to these rows"
            )


def recommend(
    clustered: Clustered,
    user: csr_matrix,
    cluster: int,
    *,
    threshold: float,
    num_neighbors: int = 20,
    count: int = 5,
) -> list[Recommendation]:
    """Return up to `count` films for a user (1 × films), the best first; none that the user has rated, none twice.

    Neighbours are the `num_neighbors` users of the cluster with the greatest positive `pearson.similarities`; a
    neighbour with exactly the user's own ratings and no other has nothing to offer. Candidates are films that a
    neighbour rated at or above `threshold`. The score is the mean of all neighbours' ratings of the film, weighted by
    similarity and shrunk by PRIOR of the best similarity towards the film's shrunk mean in the cluster. Equal scores
    are ordered by supporters, then by column. Without any positive similarity (a user with few ratings, say) all of
    the cluster's users count alike. Fewer films, or none, are returned when there are no more candidates.
    """
    members = clustered.ratings[np.flatnonzero(clustered.clusters == cluster)]
    if not members.shape[0]:
        return []
    weights = similarities(user, members)
    best = np.argsort(-weights, kind="stable")[:num_neighbors]
    best = best[weights[best] > 0]
    if len(best):
        neighbours, weights = members[best], weights[best]
    else:
        neighbours, weights = members, np.ones(members.shape[0])
    rated = _ones(neighbours)
    liked = rated.copy()
    liked.data = (neighbours.data >= threshold).astype(np.float64)
    supporters = np.asarray(liked.sum(axis=0)).ravel().astype(np.int64)
    weight = rated.T @ weights
    total = neighbours.T.astype(np.float64) @ weights
    prior = PRIOR * weights.max()
    score = (total + prior * _shrunk_means(members)[0]) / (weight + prior)
    supporters[user.indices] = 0
    candidates = np.flatnonzero(supporters)
    order = np.lexsort((candidates, -supporters[candidates], -score[candidates]))[:count]
    ids, titles = clustered.movies["movie_id"], clustered.movies["title"]
    return [
        Recommendation(int(ids.iloc[film]), str(titles.iloc[film]), float(score[film]), int(supporters[film]))
        for film in candidates[order]
    ]


def cluster_films(clustered: Clustered, *, count: int = 5, least_raters: int = LEAST_RATERS) -> list[ClusterFilms]:
    """Return each cluster's best and worst films, by cluster index; clusters without users are left out.

    Films are ordered by the mean of the cluster's ratings, shrunk towards the cluster's mean rating as if PRIOR such
    ratings had been given too: (n·mean + PRIOR·cluster mean) / (n + PRIOR), IMDb's weighted rating. Only films with
    `least_raters` ratings in the cluster take part, or, where a cluster has too few of those for both lists, with as
    many as leaves enough.
    """
    return [
        _films_of(clustered, int(cluster), count, least_raters)
        for cluster in np.unique(clustered.clusters[clustered.clusters >= 0])
    ]


def _films_of(clustered: Clustered, cluster: int, count: int, least_raters: int) -> ClusterFilms:
    """Find one cluster's best and worst films."""
    members = clustered.ratings[np.flatnonzero(clustered.clusters == cluster)]
    score, mean, raters = _shrunk_means(members)
    wanted = min(2 * count, int((raters > 0).sum()))
    enough = int(np.sort(raters)[::-1][wanted - 1]) if wanted else 1
    films = np.flatnonzero(raters >= max(1, min(least_raters, enough)))
    order = films[np.lexsort((films, -raters[films], -score[films]))]
    half = min(count, (len(order) + 1) // 2)

    def rated(film: int) -> RatedFilm:
        row = clustered.movies.iloc[film]
        return RatedFilm(
            int(row["movie_id"]), str(row["title"]), float(score[film]), float(mean[film]), int(raters[film])
        )

    best = [rated(film) for film in order[:half]]
    worst = [rated(film) for film in order[half:][::-1][:count]]
    return ClusterFilms(cluster, members.shape[0], best, worst)


def _shrunk_means(ratings: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each film, its shrunk mean, its mean (0 where nobody rated it), and the number of its ratings."""
    raters = np.bincount(ratings.indices, minlength=ratings.shape[1])
    total = np.bincount(ratings.indices, weights=ratings.data, minlength=ratings.shape[1]).astype(np.float64)
    overall = float(ratings.data.mean(dtype=np.float64)) if ratings.nnz else 0.0
    mean = np.divide(total, raters, out=np.zeros_like(total), where=raters > 0)
    return (total + PRIOR * overall) / (raters + PRIOR), mean, raters


def _ones(ratings: csr_matrix) -> csr_matrix:
    """Return a matrix with 1 for each rating."""
    return csr_matrix((np.ones(ratings.nnz), ratings.indices, ratings.indptr), shape=ratings.shape)
