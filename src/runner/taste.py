"""Hidden taste groups: which films a group's users watch, how they rate them, and users drawn from that."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from runner.data import TMDB_SCALE, DataError, Scale

# Chosen so that K-means finds the groups again and the ratings still look like ratings (`draw_users`).
GENRE_SHARE = 0.6  # of a taste that genres explain; the rest is between a group and a single film
TASTE_IN_CHOICE = 2.0  # how much a standard deviation of taste multiplies the odds of watching, as a power of e
TASTE_IN_RATING = 0.1  # how much it adds to the rating, as a share of the scale's top
NOISE_IN_RATING = 0.1  # standard deviation of what nobody can explain, as a share of the scale's top
RATINGS_PER_USER = 80  # median
SPREAD = 0.5  # standard deviation of the logarithm of the number of ratings
LEAST_RATINGS = 20  # MovieLens, too, has no user with fewer
MOST_OF_FILMS = 1 / 3
POPULARITY_SPREAD = 1.0  # standard deviation of the logarithm, for films whose popularity is not known
AVERAGE = 0.64  # of the scale's top, for films whose average is not known
PRIOR_RATINGS = 10  # a film's average counts as if it had this many average ratings more
BLOCK = 256  # users drawn at once; bounds memory to BLOCK × films


@dataclass(frozen=True)
class TasteModel:
    """What makes up users' ratings; the same films and seed give the same model, whatever other films there are."""

    movie_ids: np.ndarray  # int64 (films,)
    log_popularity: np.ndarray  # float64 (films,)
    averages: np.ndarray  # float64 (films,), on the scale
    tastes: np.ndarray  # float64 (groups, films); mean 0 and standard deviation 1 in each group
    scale: Scale
    seed: int


def taste_model(
    movies: pd.DataFrame,
    *,
    num_groups: int = 8,
    seed: int = 0,
    scale: Scale = TMDB_SCALE,
    ratings: pd.DataFrame | None = None,
) -> TasteModel:
    """Make up the tastes of `num_groups` groups for films (MOVIE_COLUMNS; only `id` and `genres` must have values).

    With `ratings`, a film's popularity is how often it was rated, and its average is theirs; without, both are TMDB's
    (averages moved from 0–10 to `scale`), and made up where TMDB has none. Raises DataError for fewer than two films.
    """
    if len(movies) < 2:
        raise DataError(f"there are {len(movies)} films, and users need at least two to choose from")
    ids = movies["id"].to_numpy(dtype=np.int64)
    genres = movies["genres"].str.get_dummies("|")
    incidence = genres.to_numpy(dtype=np.float64, copy=True)
    incidence /= np.sqrt(np.maximum(incidence.sum(axis=1, keepdims=True), 1))
    genre_keys = np.array([zlib.crc32(name.encode()) for name in genres.columns], dtype=np.int64)
    groups = np.arange(num_groups)[:, None]
    preferences = _normals(seed, "genre", groups, genre_keys[None, :])
    tastes = np.sqrt(GENRE_SHARE) * preferences @ incidence.T
    tastes += np.sqrt(1 - GENRE_SHARE) * _normals(seed, "film", groups, ids[None, :])
    tastes -= tastes.mean(axis=1, keepdims=True)
    tastes /= tastes.std(axis=1, keepdims=True)
    log_popularity, averages = _from_metadata(movies, seed, scale) if ratings is None else _from_ratings(ids, ratings)
    return TasteModel(ids, log_popularity, averages, tastes, scale, seed)


def draw_users(model: TasteModel, count: int, first_user_id: int = 1) -> tuple[pd.DataFrame, pd.Series]:
    """Draw `count` users; return RATING_COLUMNS, and each user's hidden group (index: user id).

    A user belongs to one group. How many films a user rates is log-normal (median 80, at least 20, at most a third of
    the films). Films are drawn without replacement with odds popularity × e^(2 × the group's taste), by the Gumbel
    top-k trick (Efraimidis and Spirakis 2006; Kool, van Hoof and Welling 2019): the k largest of log-odds + Gumbel
    noise. A rating is the film's average + taste + normal noise, clipped to the scale and rounded to half steps.
    The users depend on the model's seed and on `first_user_id`: another one gives other users of the same tastes.
    """
    random = np.random.default_rng([model.seed, first_user_id])
    films = len(model.movie_ids)
    groups = random.integers(len(model.tastes), size=count)
    most = max(1, int(films * MOST_OF_FILMS))
    wanted = RATINGS_PER_USER * np.exp(SPREAD * random.standard_normal(count))
    numbers = np.clip(np.rint(wanted), min(LEAST_RATINGS, most), most).astype(np.int64)
    low, high = model.scale
    users, chosen, ratings = [], [], []
    for start in range(0, count, BLOCK):
        group, number = groups[start : start + BLOCK], numbers[start : start + BLOCK]
        keys = random.gumbel(size=(len(group), films))
        keys += model.log_popularity + TASTE_IN_CHOICE * model.tastes[group]
        best = _largest(keys, int(number.max()))
        row, place = np.nonzero(np.arange(best.shape[1]) < number[:, None])
        film = best[row, place]
        rating = model.averages[film] + TASTE_IN_RATING * high * model.tastes[group[row], film]
        rating += NOISE_IN_RATING * high * random.standard_normal(len(film))
        users.append(first_user_id + start + row)
        chosen.append(model.movie_ids[film])
        ratings.append(np.clip(np.rint(2 * rating) / 2, low, high))
    table = pd.DataFrame(
        {
            "user_id": np.concatenate(users).astype(np.int64),
            "movie_id": np.concatenate(chosen),
            "rating": np.concatenate(ratings).astype(np.float32),
        }
    )
    ids = pd.Index(np.arange(first_user_id, first_user_id + count), name="user_id")
    return table.sort_values(["user_id", "movie_id"], ignore_index=True), pd.Series(groups, ids, name="group")


def _largest(keys: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the `count` largest keys of each row, the largest first."""
    some = np.argpartition(-keys, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(keys, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _from_metadata(movies: pd.DataFrame, seed: int, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of popularity, and averages on the scale, from TMDB's columns."""
    popularity = movies["popularity"].to_numpy(dtype=np.float64)
    made_up = POPULARITY_SPREAD * _normals(seed, "popularity", np.zeros(1, np.int64), movies["id"].to_numpy())
    known = np.isfinite(popularity) & (popularity > 0)
    logarithm = np.log(np.where(known, popularity, 1.0))
    centre = np.median(logarithm[known]) if known.any() else 0.0
    averages = movies["vote_average"].to_numpy(dtype=np.float64) / 10 * scale[1]
    votes = np.nan_to_num(movies["vote_count"].to_numpy(dtype=np.float64), nan=PRIOR_RATINGS)
    mean = AVERAGE * scale[1]
    shrunk = (votes * averages + PRIOR_RATINGS * mean) / (votes + PRIOR_RATINGS)
    return np.where(known, logarithm, centre + made_up), np.where(np.isfinite(averages), shrunk, mean)


def _from_ratings(ids: np.ndarray, ratings: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of how often films were rated (never counts as half), and their shrunk averages."""
    by_film = ratings.groupby("movie_id")["rating"].agg(["count", "sum"]).reindex(ids, fill_value=0)
    count, total = by_film["count"].to_numpy(np.float64), by_film["sum"].to_numpy(np.float64)
    mean = float(ratings["rating"].mean())
    return np.log(np.maximum(count, 0.5)), (total + PRIOR_RATINGS * mean) / (count + PRIOR_RATINGS)


def _normals(seed: int, purpose: str, *keys: np.ndarray) -> np.ndarray:
    """Return a standard normal number for each combination of keys (broadcast), the same whenever it is asked for.

    A hash instead of a generator, so that a film's taste does not depend on which films stand beside it.
    """
    state = np.asarray(seed, dtype=np.uint64) ^ np.uint64(zlib.crc32(purpose.encode()) << 32)
    for key in keys:
        state = _mix(state ^ np.asarray(key).astype(np.uint64))
    uniform = ((state >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.asarray(ndtri(uniform), dtype=np.float64)


def _mix(state: np.ndarray) -> np.ndarray:
    """Scramble 64 bits: SplitMix64's output function (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2⁶⁴
        state = np.asarray(state) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(state ^ (state >> np.uint64(31)))
