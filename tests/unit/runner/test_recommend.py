"""Recommendations and each cluster's favourites: whose films, which of them, and in what order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_matrix

from runner.data import DataError
from runner.recommend import Clustered, cluster_films, recommend


def clustered(rows: list[list[float]] | np.ndarray, clusters: list[int]) -> Clustered:
    """Users with clusters; film i has id 100 + i and the title "Film i"."""
    matrix = csr_matrix(np.asarray(rows, dtype=np.float32))
    numbers = range(matrix.shape[1])
    movies = pd.DataFrame(
        {"column": numbers, "movie_id": [100 + i for i in numbers], "title": [f"Film {i}" for i in numbers]}
    )
    return Clustered(matrix, np.asarray(clusters, dtype=np.int64), movies)


def row(*ratings: float) -> csr_matrix:
    """One user."""
    return csr_matrix(np.array([ratings], dtype=np.float32))


ME = row(5, 1, 4, 0, 0, 0)
ALIKE = [5, 1, 4, 5, 2, 0]
OPPOSITE = [1, 5, 2, 1, 5, 0]


def test_films_come_from_similar_users_of_the_same_cluster() -> None:
    """A twin in another cluster is not asked, and neither is an opposite in one's own."""
    twin_elsewhere = [5, 1, 4, 0, 0, 5]
    films = recommend(clustered([ALIKE, OPPOSITE, twin_elsewhere], [0, 0, 1]), ME, 0, threshold=3.5)
    assert [(film.movie_id, film.title, film.supporters) for film in films] == [(103, "Film 3", 1)]


def test_a_film_is_scored_by_all_neighbours_who_rated_it() -> None:
    """One who disliked the film counts against it, though not as a supporter."""
    split = [[5, 1, 4, 5, 4, 0], [5, 1, 4, 1, 4, 0]]
    films = recommend(clustered(split, [0, 0]), ME, 0, threshold=3.5)
    assert [(film.movie_id, film.supporters) for film in films] == [(104, 2), (103, 1)]
    assert films[0].score > films[1].score


def test_one_enthusiast_does_not_beat_many_admirers() -> None:
    """The score is shrunk towards what the cluster thinks of the film."""
    many = [[5, 1, 4, 4.5, 0, 2]] * 10 + [[5, 1, 4, 0, 5, 2]]
    films = recommend(clustered(many, [0] * 11), ME, 0, threshold=3.5)
    assert [film.movie_id for film in films] == [103, 104]


def test_only_the_best_neighbours_are_asked() -> None:
    """With one neighbour, the second best has no say."""
    less_alike = [5, 2, 1, 0, 0, 5]
    both = clustered([ALIKE, less_alike], [0, 0])
    assert [film.movie_id for film in recommend(both, ME, 0, threshold=3.5, num_neighbors=1)] == [103]


def test_without_any_similar_user_the_whole_cluster_is_asked() -> None:
    """A user with one rating still gets the cluster's favourites."""
    films = recommend(clustered([ALIKE, OPPOSITE], [0, 0]), row(0, 0, 0, 0, 0, 3), 0, threshold=5)
    assert {film.movie_id for film in films} == {100, 101, 103, 104}


def test_an_empty_cluster_has_nothing_to_recommend() -> None:
    """A cluster without training users gives an empty list."""
    assert recommend(clustered([ALIKE], [0]), ME, 7, threshold=3.5) == []


matrices = arrays.arrays(np.float32, (8, 10), elements=st.sampled_from([0, 0, 0, 0.5, 2, 3.5, 5]))


@given(matrices, st.integers(0, 6))
def test_recommendations_are_new_liked_different_and_ordered(ratings: np.ndarray, count: int) -> None:
    """For any ratings: not rated by the user, rated at or above the threshold by someone, once each, best first."""
    people = clustered(ratings[1:], [0, 0, 0, 0, 1, 1, 1])
    films = recommend(people, csr_matrix(ratings[:1]), 0, threshold=3.5, count=count)
    columns = [film.movie_id - 100 for film in films]
    assert len(set(columns)) == len(columns) <= count
    assert (ratings[0, columns] == 0).all()
    assert (ratings[1:5, columns].max(axis=0) >= 3.5).all()
    assert [film.score for film in films] == sorted((film.score for film in films), reverse=True)
    assert all(0.5 <= film.score <= 5 for film in films)


def test_best_and_worst_films_need_more_than_one_vote() -> None:
    """A film that one user adores is not the best, nor one that one user hates the worst."""
    rows = np.zeros((12, 6), dtype=np.float32)
    rows[:, 0], rows[:, 1], rows[:10, 2], rows[:10, 3] = 4.5, 2.0, 4.0, 2.5
    rows[0, 4], rows[0, 5] = 5.0, 0.5
    (films,) = cluster_films(clustered(rows, [3] * 12), count=2)
    assert (films.cluster, films.users) == (3, 12)
    assert [film.movie_id for film in films.best] == [100, 102]
    assert [film.movie_id for film in films.worst] == [101, 103]
    assert (films.best[0].mean, films.best[0].raters) == (4.5, 12)


def test_a_small_cluster_asks_for_fewer_raters() -> None:
    """Where no film has enough raters, those with the most take part."""
    (films,) = cluster_films(clustered([[5, 1, 3, 4, 0]], [0]), count=2)
    assert [film.movie_id for film in films.best] == [100, 103]
    assert [film.movie_id for film in films.worst] == [101, 102]


@given(matrices, st.integers(1, 4))
def test_no_film_is_both_best_and_worst(ratings: np.ndarray, count: int) -> None:
    """For any ratings, the lists are disjoint, ordered, of rated films, and the best are not worse than the worst."""
    for films in cluster_films(clustered(ratings, [0, 0, 0, 1, 1, 1, 2, 2]), count=count):
        best, worst = [film.score for film in films.best], [film.score for film in films.worst]
        assert not {film.movie_id for film in films.best} & {film.movie_id for film in films.worst}
        assert len(best) <= count
        assert len(worst) <= count
        assert best == sorted(best, reverse=True)
        assert worst == sorted(worst)
        assert all(film.raters > 0 for film in films.best + films.worst)
        if best and worst:
            assert min(best) >= max(worst)


def test_clusters_that_do_not_fit_the_ratings_are_refused() -> None:
    """Assignments of another run would give nonsense without a word."""
    with pytest.raises(DataError, match="do not fit"):
        clustered([ALIKE, OPPOSITE], [0])
