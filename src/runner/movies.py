"""Reads films: TMDB 5000, The Movies Dataset, what `generate` makes, and MovieLens, told apart by their columns."""

from __future__ import annotations

import ast
import functools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from runner.csv_table import Row, read_header, read_rows
from runner.data import MOVIE_COLUMNS, DataError, Movies, Tally

# Above this share of bad rows, a file is not what its header claims.
MOST = 0.5
FORMATS = "TMDB films (id, title, genres, …) or MovieLens films (movieId, title, genres)"
OTHER_FILES = {
    frozenset({"userId", "movieId", "rating"}): "ratings; give them with --ratings",
    frozenset({"user_id", "movie_id", "rating"}): "ratings; give them with --ratings",
    frozenset({"movieId", "tmdbId"}): "links; give them with --links",
    frozenset({"cast", "crew"}): "credits; give tmdb_5000_movies.csv or movies_metadata.csv",
}
NO_GENRES = "(no genres listed)"  # MovieLens
LONGEST_LIST = 100_000  # characters; the longest of the real files has about 4,000
BAD_ID = "film: id is not a whole number"
NO_TITLE = "film: no title"
BAD_LIST = "film: {} is not a list of names"
SURPLUS = "film: more cells than columns"
REPEATED = "film: listed more than once (first kept)"
BAD_CELL = "film: {} is not a number (film kept, cell left empty)"


def load_movies(path: Path) -> Movies:
    """Read a file of films.

    Rows that cannot be used are skipped and counted by reason. Of The Movies Dataset's records that are broken in two,
    the tail has a date for an id and is skipped; the head still has id, genres and original title, and is kept.
    An unreadable number leaves its cell empty. Raises DataError, with file, row and column, when the header is of no
    known format, or when most rows are bad.
    """
    key = _format(path, read_header(path))
    parse = _tmdb_film if key == "tmdb" else _movielens_film
    tally, films, seen, rows, first = Tally(), [], set(), 0, None
    for row in read_rows(path):
        rows += 1
        try:
            film = parse(row, tally, f"{path.name}, row {row.number}")
        except _BadRowError as bad:
            first = first or (row.number, bad)
            tally.add(bad.reason, f"{path.name}, row {row.number}, column {bad.column}: {bad.cell!r:.80}")
            continue
        if film[0] in seen:
            tally.add(REPEATED, f"{path.name}, row {row.number}, id {film[0]}")
            continue
        seen.add(film[0])
        films.append(film)
    if not rows:
        raise DataError(f"{path}, row 2: there are no films below the header. Give a complete file")
    skipped = rows - len(films) - tally.counts.get(REPEATED, 0)
    if first and skipped > MOST * rows:
        number, worst = first
        raise DataError(
            f"{path}, row {number}, column {worst.column}: {worst.reason.removeprefix('film: ')} ({worst.cell!r:.80}), "
            f"and {skipped} of {rows} rows are bad. Check that the file is whole and that its header belongs to it"
        )
    return Movies(_frame(films), key, tally.counts, tally.examples)


class _BadRowError(Exception):
    """A row cannot be used."""

    def __init__(self, reason: str, column: str, cell: str) -> None:
        super().__init__(reason)
        self.reason, self.column, self.cell = reason, column, cell


def _format(path: Path, names: list[str]) -> str:
    """Return what the ids of a file are, judged by its columns."""
    columns = set(names)
    if columns >= {"id", "title", "genres"}:
        return "tmdb"
    if columns >= {"movieId", "title", "genres"}:
        return "movielens"
    for other, what in OTHER_FILES.items():
        if columns >= other:
            raise DataError(f"{path}, row 1: these are not films but {what}")
    key = "movieId" if "movieId" in columns else "id"
    missing = ", ".join(name for name in (key, "title", "genres") if name not in columns)
    found = ", ".join(names)
    raise DataError(f"{path}, row 1: there is no column {missing} (found: {found:.200}). Give {FORMATS}")


def _tmdb_film(row: Row, tally: Tally, place: str) -> tuple[object, ...]:
    """Return a film's MOVIE_COLUMNS, from TMDB's columns."""
    cells = row.cells
    identifier = _id(cells["id"], "id")
    if row.surplus:
        raise _BadRowError(SURPLUS, "(beyond the last)", f"{row.surplus} more")
    title = cells["title"].strip() or cells.get("original_title", "").strip()
    if not title:
        raise _BadRowError(NO_TITLE, "title", "")
    genres = _names(cells["genres"], "genres")
    keywords = _names(cells.get("keywords", ""), "keywords")
    number: Callable[[str], float] = functools.partial(_number, cells, tally, place)
    votes = number("vote_count")
    average = number("vote_average")
    if votes == 0 or average == 0:
        average = math.nan  # TMDB's 0 means that nobody voted
    date = cells.get("release_date", "").strip()
    date = date if re.fullmatch(r"\d{4}-\d{2}-\d{2}", date) else ""
    return identifier, title, genres, keywords, number("popularity"), average, votes, date


def _movielens_film(row: Row, _tally: Tally, _place: str) -> tuple[object, ...]:
    """Return a film's MOVIE_COLUMNS, from MovieLens' three; the year comes from the title's end, "(1995)"."""
    identifier = _id(row.cells["movieId"], "movieId")
    if row.surplus:
        raise _BadRowError(SURPLUS, "(beyond the last)", f"{row.surplus} more")
    title = row.cells["title"].strip()
    if not title:
        raise _BadRowError(NO_TITLE, "title", "")
    genres = row.cells["genres"].strip()
    year = re.search(r"\((\d{4})\)\s*$", title)
    return (
        identifier,
        title,
        "" if genres == NO_GENRES else genres,
        "",
        math.nan,
        math.nan,
        math.nan,
        year[1] if year else "",
    )


def _id(cell: str, column: str) -> int:
    """Read an id; "862.0" is what spreadsheets and pandas make of 862."""
    match = re.fullmatch(r"([0-9]{1,15})(\.0+)?", cell.strip())
    if not match:
        raise _BadRowError(BAD_ID, column, cell)
    return int(match[1])


def _number(cells: dict[str, str], tally: Tally, place: str, column: str) -> float:
    """Read a number that a film can do without."""
    text = cells.get(column, "").strip()
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = math.inf
    if value == math.inf or value < 0:
        tally.add(BAD_CELL.format(column), f"{place}, column {column}: {text!r:.80}")
        return math.nan
    return value


def _names(cell: str, column: str) -> str:
    """Return the names of a list of records in a cell, joined by "|"; an empty cell has none."""
    try:
        return _parse_names(cell.strip())
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, RecursionError, MemoryError):
        raise _BadRowError(BAD_LIST.format(column), column, cell) from None


@functools.lru_cache(maxsize=20_000)  # 45,000 films share 4,000 combinations of genres
def _parse_names(text: str) -> str:
    """Read JSON (TMDB 5000) or a Python literal (The Movies Dataset); `literal_eval` runs no code."""
    if not text:
        return ""
    if len(text) > LONGEST_LIST:
        raise ValueError("too long")
    try:
        records = json.loads(text)
    except json.JSONDecodeError:
        records = ast.literal_eval(text)
    if not isinstance(records, list):
        raise TypeError("not a list")
    return "|".join(record["name"].replace("|", "/") for record in records)


def _frame(films: list[tuple[object, ...]]) -> pd.DataFrame:
    """Put films into a table with the types that `Movies` promises."""
    frame = pd.DataFrame(films, columns=list(MOVIE_COLUMNS))
    numbers = {"id": "int64", "popularity": "float64", "vote_average": "float64", "vote_count": "float64"}
    return frame.astype(numbers)
