"""MovieLens' links: films move to their TMDB ids by a stated rule, and what that costs is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.data import DataError, Tally
from runner.links import load_links, to_tmdb
from runner.movies import load_movies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five MovieLens films: one without a tmdbId, two that share one, one that the links do not know."""
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n1,One,Drama\n2,Two,Drama\n3,Three,Drama\n4,Three again,Drama\n5,Five,Drama\n"
    )
    (tmp_path / "links.csv").write_text(
        "movieId,imdbId,tmdbId\n1,0114709,862\n2,0113497,\n3,0270288,4912.0\n4,0270288,4912\n"
    )
    return tmp_path


def test_films_take_their_tmdb_ids(folder: Path) -> None:
    """A film without a tmdbId is dropped; of films that share one the first lends its title."""
    tally = Tally()
    moved = to_tmdb(load_movies(folder / "movies.csv"), load_links(folder / "links.csv", tally), tally)
    assert moved[["id", "title"]].to_dict("list") == {"id": [862, 4912], "title": ["One", "Three"]}
    assert tally.counts == {
        "film: has no tmdbId in the links (dropped)": 2,
        "film: shares its tmdbId with an earlier film (merged into that)": 1,
    }
    assert tally.examples["film: has no tmdbId in the links (dropped)"] == "movieId 2: Two"


def test_bad_links_are_skipped_and_counted(folder: Path) -> None:
    """A malformed row is not taken for a film without a tmdbId."""
    with (folder / "links.csv").open("a") as file:
        file.write("x,1,2\n7,1,tt5\n1,1,999\n8,1,2,3\n")
    tally = Tally()
    links = load_links(folder / "links.csv", tally)
    assert links.tmdb.to_dict() == {1: 862, 3: 4912, 4: 4912}
    assert links.without.tolist() == [2]
    assert tally.counts == {
        "link: movieId or tmdbId is not a whole number": 3,
        "link: movieId listed more than once (first kept)": 1,
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("movieId,imdbId\n1,2\n", "row 1: there is no column tmdbId"),
        ("movieId,imdbId,tmdbId\n", "row 2: there are no links"),
        ("movieId,imdbId,tmdbId\n1,2,a\n2,2,b\n3,3,3\n", "row 2, column tmdbId: 'a' is not a whole number, and 2 of 3"),
    ],
)
def test_a_file_that_has_no_links_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    """The message names file, row and column."""
    path = tmp_path / "links.csv"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        load_links(path, Tally())
    assert f"{path}, {expected}" in str(error.value)
