"""Reads MovieLens' links.csv, the bridge from its movieId to TMDB's id, and moves films over it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.csv_table import read_header, read_rows
from runner.data import DataError, Movies, Tally
from runner.movies import MOST

WHOLE = re.compile(r"([0-9]{1,15})(\.0+)?")
BAD_LINK = "link: movieId or tmdbId is not a whole number"
REPEATED = "link: movieId listed more than once (first kept)"
NO_TMDB = "film: has no tmdbId in the links (dropped)"
MERGED = "film: shares its tmdbId with an earlier film (merged into that)"


@dataclass(frozen=True)
class Links:
    """The content of links.csv."""

    tmdb: pd.Series  # movieId (index, unique) -> tmdbId, int64; two films may share one
    without: pd.Index  # movieIds whose tmdbId is empty


def load_links(path: Path, tally: Tally) -> Links:
    """Read links; a movieId without a tmdbId is remembered, a malformed row is skipped and counted.

    Raises DataError when columns are missing or most rows are bad.
    """
    names = read_header(path)
    for column in ("movieId", "tmdbId"):
        if column not in names:
            raise DataError(
                f"{path}, row 1: there is no column {column} (found: {', '.join(names):.200}). "
                "Give MovieLens' links.csv (movieId, imdbId, tmdbId)"
            )
    tmdb: dict[int, int] = {}
    without: set[int] = set()
    rows = bad = 0
    first = ""
    for row in read_rows(path):
        rows += 1
        movie, other = row.cells["movieId"].strip(), row.cells["tmdbId"].strip()
        found, target = WHOLE.fullmatch(movie), WHOLE.fullmatch(other)
        if not found or not (target or not other) or row.surplus:
            column = "tmdbId" if found else "movieId"
            first = first or f"{path}, row {row.number}, column {column}: {row.cells[column]!r:.80}"
            tally.add(BAD_LINK, f"{path.name}, row {row.number}, column {column}: {row.cells[column]!r:.80}")
            bad += 1
        elif int(found[1]) in tmdb or int(found[1]) in without:
            tally.add(REPEATED, f"{path.name}, row {row.number}, movieId {movie}")
        elif target:
            tmdb[int(found[1])] = int(target[1])
        else:
            without.add(int(found[1]))
    if not rows:
        raise DataError(f"{path}, row 2: there are no links below the header. Give a complete file")
    if bad > MOST * rows:
        raise DataError(f"{first} is not a whole number, and {bad} of {rows} rows are bad. Give MovieLens' links.csv")
    return Links(pd.Series(tmdb, dtype="int64"), pd.Index(sorted(without), dtype="int64"))


def to_tmdb(movies: Movies, links: Links, tally: Tally) -> pd.DataFrame:
    """Give MovieLens films their TMDB ids.

    The rule: a film without a tmdbId is dropped, since it has no id to be known by; of films that share one, the first
    in the file lends its title to all of them, and their ratings are taken together.
    """
    frame = movies.frame
    moved = frame.assign(id=frame["id"].map(links.tmdb))
    lost = moved["id"].isna()
    if lost.any():
        tally.add(NO_TMDB, _example(frame[lost]), int(lost.sum()))
    moved, source = moved[~lost].astype({"id": "int64"}), frame[~lost]
    shared = moved["id"].duplicated()
    if shared.any():
        tally.add(MERGED, _example(source[shared]), int(shared.sum()))
    return moved[~shared].reset_index(drop=True)


def _example(films: pd.DataFrame) -> str:
    film = films.iloc[0]
    return f"movieId {film['id']}: {film['title']}"
