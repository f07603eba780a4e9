"""Checks ratings a chunk at a time: which are good, why the others are not, and where the first of each kind stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from runner.data import MOVIELENS_SCALE, TMDB_SCALE, DataError, Scale, Tally
from runner.movies import MOST

BAD_USER = "rating: user id is not a whole number"
BAD_MOVIE = "rating: movie id is not a whole number"
BAD_RATING = "rating: not a number"
OUT_OF_RANGE = "rating: outside {:g} to {:g}"
SURPLUS = "rating: more cells than columns (a decimal comma?)"
UNKNOWN = "rating: its film is not in the file of films"
NO_TMDB = "rating: its film has no tmdbId in the links"


@dataclass(frozen=True)
class Form:
    """The columns of a file of ratings."""

    user: str
    movie: str
    scale: Scale
    key: str  # what the movie ids are: "tmdb" or "movielens"


MOVIELENS = Form("userId", "movieId", MOVIELENS_SCALE, "movielens")
GENERATED = Form("user_id", "movie_id", TMDB_SCALE, "tmdb")


@dataclass(frozen=True)
class KnownFilms:
    """Which film a movie id of the ratings means."""

    ids: pd.Series  # movie id of the ratings (index, unique) -> film id
    without_tmdb: pd.Index  # movie ids that are known to have no tmdbId


Columns = dict[str, np.ndarray]  # user int64, movie int32 (position among the known films), rating float32, time int64


class RatingCheck:
    """Cleans chunks, and remembers how many rows were bad and where the first of them is."""

    def __init__(self, path: Path, form: Form, films: KnownFilms, tally: Tally) -> None:
        self._path, self._form, self._tally = path, form, tally
        self._known = pd.Index(films.ids.index, dtype="int64")
        self._without = films.without_tmdb
        self._rows = 0  # neither blank lines nor the header
        self._bad = 0
        self._next = 2  # number of the next row; the header is row 1
        self._long: list[int] = []  # numbers of the rows that pandas left out of the current chunk
        self._numbers = np.empty(0, np.int64)
        self._first_bad: tuple[str, str] | None = None
        self._first_unknown = ""

    def clean(self, chunk: pd.DataFrame) -> Columns:
        """Return a chunk's good rows; `movie` is the position of the film among the known ones."""
        form = self._form
        self._number(chunk)
        user, movie, rating = (_numbers(chunk[name]) for name in (form.user, form.movie, "rating"))
        good = ~_blank(chunk)
        self._rows += int(good.sum())
        low, high = form.scale
        for reason, column, wrong in (
            (BAD_USER, form.user, ~_whole(user)),
            (BAD_MOVIE, form.movie, ~_whole(movie)),
            (BAD_RATING, "rating", ~np.isfinite(rating)),
            (OUT_OF_RANGE.format(low, high), "rating", (rating < low) | (rating > high)),
        ):
            wrong &= good
            good &= ~wrong
            if wrong.any():
                self._bad += int(wrong.sum())
                self._first_bad = self._first_bad or (reason, self._place(chunk, wrong, column))
                self._tally.add(reason, self._place(chunk, wrong, column), int(wrong.sum()))
        place = self._known.get_indexer(pd.Index(np.where(good, movie, -1).astype(np.int64)))
        unknown = good & (place < 0)
        if unknown.any():
            self._first_unknown = self._first_unknown or self._place(chunk, unknown, form.movie)
            linkless = unknown & np.isin(movie, self._without)
            for reason, rows in ((NO_TMDB, linkless), (UNKNOWN, unknown & ~linkless)):
                if rows.any():
                    self._tally.add(reason, self._place(chunk, rows, form.movie), int(rows.sum()))
            good &= ~unknown
        return {
            "user": user[good].astype(np.int64),
            "movie": place[good].astype(np.int32),
            "rating": rating[good].astype(np.float32),
            "time": _times(chunk)[good] if "timestamp" in chunk else np.zeros(int(good.sum()), np.int64),
        }

    def long_rows(self, message: str, before: int) -> None:
        """Count the rows that pandas left out because they are longer than the header.

        `message` is pandas' warning, whose line numbers are those of the file less `before`.
        """
        lines = [int(line) + before for line in re.findall(r"line (\d+)", message)]
        if lines:
            self._long.extend(lines)
            self._rows += len(lines)
            self._bad += len(lines)
            where = f"{self._path.name}, row {lines[0]}"
            self._tally.add(SURPLUS, where, len(lines))
            self._first_bad = self._first_bad or (SURPLUS, where)

    def verdict(self, good: int) -> None:
        """Raise DataError when the file as a whole is not what it claims."""
        if not self._rows:
            raise DataError(f"{self._path}, row 2: there are no ratings below the header. Give a complete file")
        if self._first_bad and self._bad > MOST * self._rows:
            reason, where = self._first_bad
            raise DataError(
                f"{self._path.parent / where}: {reason.removeprefix('rating: ')}, and {self._bad} of {self._rows} rows "
                "are bad. Check that the file is whole and that its header belongs to it"
            )
        if not good:
            raise DataError(
                f"{self._path}: no rating is of a film that is known; first: {self._first_unknown}. Give the films "
                "and links that belong to these ratings"
            )

    def _number(self, chunk: pd.DataFrame) -> None:
        """Give the rows of a chunk their numbers in the file, which has the long rows between them."""
        numbers = np.arange(self._next, self._next + len(chunk) + len(self._long))
        self._numbers = np.setdiff1d(numbers, self._long) if self._long else numbers
        self._next += len(numbers)
        self._long.clear()

    def _place(self, chunk: pd.DataFrame, rows: np.ndarray, column: str) -> str:
        """Name the first of some rows of a chunk: file, row, column and what stands there."""
        first = int(rows.argmax())
        value = str(chunk[column].iloc[first])
        return f"{self._path.name}, row {self._numbers[first]}, column {column}: {value!r:.80}"


def _numbers(column: pd.Series) -> np.ndarray:
    """Return a column as float64; what is not a number becomes NaN. Ids up to 2⁵³ stay exact."""
    if column.dtype.kind not in "if":
        column = pd.to_numeric(column.str.strip().str.strip('"'), errors="coerce")
    return np.asarray(column, dtype=np.float64)


def _whole(values: np.ndarray) -> np.ndarray:
    """Tell which values are whole numbers from 0 to 10¹⁵."""
    return np.asarray(np.isfinite(values) & (values >= 0) & (values < 1e15) & (values == np.floor(values)))


def _blank(chunk: pd.DataFrame) -> np.ndarray:
    """Tell which rows of text are empty lines; typed rows never are."""
    if chunk.iloc[:, 0].dtype.kind in "if":
        return np.zeros(len(chunk), dtype=bool)
    blank = np.ones(len(chunk), dtype=bool)
    for name in chunk:
        blank &= np.asarray(chunk[name].str.strip() == "", dtype=bool)
    return blank


def _times(chunk: pd.DataFrame) -> np.ndarray:
    """Return timestamps as whole seconds; dates are understood, and what is neither counts as the oldest."""
    column = chunk["timestamp"]
    if column.dtype.kind == "i":
        return np.asarray(column, dtype=np.int64)
    numbers = _numbers(column)
    if np.isnan(numbers).any():
        dates = pd.to_datetime(column.str.strip().str.strip('"'), errors="coerce", utc=True, format="ISO8601")
        seconds = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
        numbers = np.where(np.isnan(numbers), seconds, numbers)
    return np.asarray(np.nan_to_num(numbers, nan=-1, posinf=-1, neginf=-1), dtype=np.int64)
