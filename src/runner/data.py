"""The records that films and ratings travel in, the count of what was skipped, and the error of a bad file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from runner.errors import SettingsError

# `genres` and `keywords` are names joined by "|"; `release_date` is YYYY-MM-DD, YYYY or ""; numbers may be NaN.
MOVIE_COLUMNS = (
    "id",
    "title",
    "genres",
    "keywords",
    "popularity",
    "vote_average",
    "vote_count",
    "release_date",
)
RATING_COLUMNS = ("user_id", "movie_id", "rating")

Scale = tuple[float, float]
TMDB_SCALE: Scale = (0.5, 10.0)
MOVIELENS_SCALE: Scale = (0.5, 5.0)


class DataError(SettingsError):
    """A file is not what it claims, or the data cannot be used; the message names the place and the remedy."""


class Tally:
    """What was skipped while files were read: how many by reason, and the first place of each reason."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count `count` rows for a reason; the first example stays."""
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count
            self.examples.setdefault(reason, example)


@dataclass(frozen=True)
class Movies:
    """Films of one file."""

    frame: pd.DataFrame  # MOVIE_COLUMNS; `id` int64, unique, in the file's order
    key: str  # what `id` is: "tmdb", or "movielens" for MovieLens' own movieId
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Films and their ratings, each film and each pair of user and film once."""

    movies: pd.DataFrame  # MOVIE_COLUMNS; `id` int64, unique
    ratings: pd.DataFrame  # RATING_COLUMNS; int64, int64, float32; every movie_id is in `movies`
    scale: Scale  # lowest and highest rating that the data's source allows
    skipped: Mapping[str, int] = field(default_factory=dict)  # reason -> rows; "film: …", "link: …", "rating: …"
    examples: Mapping[str, str] = field(default_factory=dict)  # reason -> where it was seen first
    groups: pd.Series | None = None  # generated data: user_id -> hidden taste group

    @property
    def counts(self) -> dict[str, int]:
        """How much there is: users and films that have ratings, films known, ratings."""
        return {
            "users": int(self.ratings["user_id"].nunique()),
            "movies": int(self.ratings["movie_id"].nunique()),
            "movies_known": len(self.movies),
            "ratings": len(self.ratings),
        }
