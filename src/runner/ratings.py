"""Reads ratings, millions at a time: whole columns are checked at once, and no line of Python runs for each rating."""

from __future__ import annotations

import collections
import csv
import io
import itertools
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from runner.csv_table import open_text, read_header
from runner.data import DataError, Tally
from runner.rating_check import GENERATED, MOVIELENS, Columns, Form, KnownFilms, RatingCheck

REPEATED = "rating: the user's older rating of the same film (newest kept)"
CHUNK = 1_000_000  # rows; bounds the memory that reading takes beside the result


def ratings_form(path: Path) -> Form:
    """Tell a file's form by its columns. Raises DataError, with row and missing column, for an unknown one."""
    names = read_header(path)
    for form in (MOVIELENS, GENERATED):
        if {form.user, form.movie, "rating"} <= set(names):
            return form
    if "title" in names:
        raise DataError(f"{path}, row 1: these are films, not ratings; give them with --movies")
    form = GENERATED if {"user_id", "movie_id"} & set(names) else MOVIELENS
    missing = ", ".join(name for name in (form.user, form.movie, "rating") if name not in names)
    raise DataError(
        f"{path}, row 1: there is no column {missing} (found: {', '.join(names):.200}). Give MovieLens' ratings.csv "
        "(userId, movieId, rating, timestamp) or generated ratings (user_id, movie_id, rating)"
    )


def read_ratings(path: Path, films: KnownFilms, tally: Tally) -> pd.DataFrame:
    """Return RATING_COLUMNS of all good rows, one for each user and film, in the order of user and film.

    Of several ratings of one film by one user (repeated, or of films that the links merge) the newest counts: the
    greatest timestamp, then the last in the file. Time and memory grow with the number of ratings only.
    Raises DataError, with file, row and column, when most rows are bad or no rating is of a known film.
    """
    form = ratings_form(path)
    check = RatingCheck(path, form, films, tally)
    try:
        parts = [check.clean(chunk) for chunk in _chunks(path, form, check)]
    except (pd.errors.ParserError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read to its end ({error}). Download the file again") from None
    check.verdict(sum(len(part["user"]) for part in parts))
    columns = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    return _newest(columns, films, tally, path)


def _chunks(path: Path, form: Form, check: RatingCheck) -> Iterator[pd.DataFrame]:
    """Yield parts of the file: typed while all is well, as text from the first surprise on."""
    names = read_header(path)
    done = 0
    types = {form.user: "int64", form.movie: "int64", "rating": "float64"}
    if "timestamp" in names:
        types["timestamp"] = "int64"
    # A surprise: a cell that is not of its type, a row that is too long, bytes that are not text.
    surprises = (ValueError, OverflowError, pd.errors.ParserError, pd.errors.ParserWarning)
    try:
        with warnings.catch_warnings(), open_text(path) as text:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            usual = {"chunksize": CHUNK, "index_col": False, "skip_blank_lines": False, "header": 0}
            for chunk in pd.read_csv(text, names=names, dtype=types, **usual):
                yield chunk
                done += len(chunk)
        return
    except surprises:
        pass
    yield from _text_chunks(path, names, done, check)


def _text_chunks(path: Path, names: list[str], skip: int, check: RatingCheck) -> Iterator[pd.DataFrame]:
    """Yield the rows after the first `skip` as text; what does not fit is counted instead of raised."""
    with open_text(path, errors="replace") as text:
        collections.deque(itertools.islice(text, skip + 1), maxlen=0)  # past the header and what was read
        while lines := list(itertools.islice(text, CHUNK)):
            # pandas takes the first row's length for all, and before 3.0 forgets to warn at the end of its own chunks.
            measure = "x" + "," * (len(names) - 1) + "\n"
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", pd.errors.ParserWarning)
                chunk = pd.read_csv(
                    io.StringIO(measure + "".join(lines)),
                    names=names,
                    header=None,
                    dtype=str,
                    index_col=False,
                    na_filter=False,
                    quoting=csv.QUOTE_NONE,  # a stray quote would swallow the rows below it
                    on_bad_lines="warn",
                    skip_blank_lines=False,
                )
            for warning in caught:
                check.long_rows(str(warning.message), before=skip)
            skip += len(lines)
            yield chunk.iloc[1:]


def _newest(columns: Columns, films: KnownFilms, tally: Tally, path: Path) -> pd.DataFrame:
    """Keep one rating for each user and film, the newest."""
    # Several movie ids may mean one film: number the films by their ids, then the pairs of user and film.
    film_ids, film_of = np.unique(np.asarray(films.ids, dtype=np.int64), return_inverse=True)
    film = film_of.astype(np.int32)[columns.pop("movie")]
    user, users = pd.factorize(columns.pop("user"), sort=True)
    pair = user * len(film_ids) + film
    del user, film
    kept = np.argsort(pair, kind="stable")
    ordered = pair[kept]
    again = ordered[1:] == ordered[:-1]
    del ordered
    if again.any():
        # Only the pairs that occur twice are ordered by time, too: they are few.
        twice = kept[np.append(again, False) | np.append(False, again)]
        twice = twice[np.lexsort((columns["time"][twice], pair[twice]))]  # stable: equal times in the file's order
        older = twice[:-1][pair[twice][1:] == pair[twice][:-1]]
        first_user, first_film = divmod(int(pair[older[0]]), len(film_ids))
        example = f"{path.name}, user {users[first_user]}, film {film_ids[first_film]}"
        tally.add(REPEATED, example, len(older))
        kept = kept[~np.isin(kept, older)]
    del columns["time"]
    pair = pair[kept]
    return pd.DataFrame(
        {
            "user_id": users[pair // len(film_ids)],
            "movie_id": film_ids[pair % len(film_ids)],
            "rating": columns["rating"][kept],
        }
    )
