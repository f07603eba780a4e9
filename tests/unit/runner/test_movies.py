"""Films in the formats that are about: TMDB 5000, The Movies Dataset and MovieLens, with their blemishes."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from runner.data import DataError
from runner.movies import load_movies

TMDB_5000 = next(
    csv.reader(
        [
            "budget,genres,homepage,id,keywords,original_language,original_title,overview,popularity,production_companies,"
            "production_countries,release_date,revenue,runtime,spoken_languages,status,tagline,title,vote_average,vote_count"
        ]
    )
)
MOVIES_DATASET = next(
    csv.reader(
        [
            "adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,original_title,overview,"
            "popularity,poster_path,production_companies,production_countries,release_date,revenue,runtime,spoken_languages,"
            "status,tagline,title,video,vote_average,vote_count"
        ]
    )
)


def write(path: Path, header: list[str], *records: list[str]) -> Path:
    """Write a CSV file as the real ones are written."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *records])
    return path


def record(header: list[str], **cells: str) -> list[str]:
    """A record with some cells filled."""
    return [cells.get(name, "") for name in header]


def film(number: int, **cells: str) -> list[str]:
    """A sound record of The Movies Dataset."""
    sound = {
        "adult": "False",
        "genres": "[{'id': 18, 'name': 'Drama'}, {'id': 10749, 'name': \"Children's\"}]",
        "id": str(number),
        "original_title": f"Film {number}",
        "overview": "Two people, one town.\nAnd a dog.",
        "popularity": "3.859495",
        "release_date": "1995-10-30",
        "title": f"Film {number}",
        "vote_average": "6.5",
        "vote_count": "92.0",
    }
    return record(MOVIES_DATASET, **(sound | cells))


def test_tmdb_5000_has_json_in_its_cells(tmp_path: Path) -> None:
    """Genres and keywords are read from JSON, unicode and escapes included."""
    path = write(
        tmp_path / "any name.csv",
        TMDB_5000,
        record(
            TMDB_5000,
            genres=json.dumps([{"id": 28, "name": "Action"}, {"id": 878, "name": "Science Fiction"}]),
            id="19995",
            keywords='[{"id": 1463, "name": "culture clash"}, {"id": 2, "name": "caf\\u00e9"}]',
            popularity="150.437577",
            release_date="2009-12-10",
            title="Avatar",
            vote_average="7.2",
            vote_count="11800",
        ),
        record(TMDB_5000, genres="[]", id="7", keywords="[]", title="Nothing", vote_average="0.0", vote_count="0"),
    )
    movies = load_movies(path)
    assert movies.key == "tmdb"
    first, second = movies.frame.to_dict("records")
    assert first == {
        "id": 19995,
        "title": "Avatar",
        "genres": "Action|Science Fiction",
        "keywords": "culture clash|café",
        "popularity": 150.437577,
        "vote_average": 7.2,
        "vote_count": 11800.0,
        "release_date": "2009-12-10",
    }
    assert second["genres"] == ""
    assert math.isnan(second["vote_average"]), "an average of no votes is no average"
    assert movies.skipped == {}


def test_the_movies_dataset_has_python_literals_and_records_broken_in_two(tmp_path: Path) -> None:
    """The shifted tails are skipped and counted; their heads are films, known by their original titles."""
    broken = []
    for number, date in ((82663, "1997-08-20"), (122662, "2012-09-29"), (249260, "2014-01-01")):
        head, tail = film(number)[:10], film(number, release_date=date)[9:]
        broken += [head, [" the rest of the overview", *tail[1:]]]
    path = write(tmp_path / "movies_metadata.csv", MOVIES_DATASET, film(1), film(2), film(3), film(4), *broken)
    movies = load_movies(path)
    assert movies.frame["id"].tolist() == [1, 2, 3, 4, 82663, 122662, 249260]
    assert movies.frame["title"].tolist()[-1] == "Film 249260"
    assert movies.frame["genres"].tolist()[0] == "Drama|Children's"
    assert movies.skipped == {"film: id is not a whole number": 3}
    assert movies.examples == {"film: id is not a whole number": "movies_metadata.csv, row 7, column id: '1997-08-20'"}


def test_films_listed_twice_are_read_once(tmp_path: Path) -> None:
    """The first of two records of one id stays."""
    path = write(tmp_path / "m.csv", MOVIES_DATASET, film(1, title="First"), film(1, title="Second"), film(2))
    movies = load_movies(path)
    assert movies.frame["title"].tolist() == ["First", "Film 2"]
    assert movies.skipped == {"film: listed more than once (first kept)": 1}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"id": "tt0113002"}, "film: id is not a whole number"),
        ({"id": ""}, "film: id is not a whole number"),
        ({"id": "-5"}, "film: id is not a whole number"),
        ({"title": "", "original_title": " "}, "film: no title"),
        ({"genres": "[{'id': 18, 'name': 'Dra"}, "film: genres is not a list of names"),
        ({"genres": "{'id': 18, 'name': 'Drama'}"}, "film: genres is not a list of names"),
        ({"genres": "[18]"}, "film: genres is not a list of names"),
        ({"genres": "[{'id': 18, 'name': None}]"}, "film: genres is not a list of names"),
        ({"genres": "__import__('os').system('true')"}, "film: genres is not a list of names"),
        ({"genres": "[" * 5000}, "film: genres is not a list of names"),
    ],
)
def test_a_bad_row_is_skipped_and_counted_by_reason(tmp_path: Path, cells: dict[str, str], reason: str) -> None:
    """One bad row costs that row only."""
    path = write(tmp_path / "m.csv", MOVIES_DATASET, film(1), film(2, **cells), film(3))
    movies = load_movies(path)
    assert movies.frame["id"].tolist() == [1, 3]
    assert movies.skipped == {reason: 1}
    assert "m.csv, row 3" in movies.examples[reason]


def test_a_row_with_too_many_cells_is_skipped(tmp_path: Path) -> None:
    """A row that is longer than the header cannot be trusted."""
    path = write(tmp_path / "m.csv", MOVIES_DATASET, film(1), [*film(2), "x"], film(3))
    assert load_movies(path).skipped == {"film: more cells than columns": 1}


def test_an_unreadable_number_does_not_cost_the_film(tmp_path: Path) -> None:
    """A film is recommended by its ratings, so it can do without a popularity."""
    path = write(tmp_path / "m.csv", MOVIES_DATASET, film(1, popularity="Beware of Frost Bites"))
    movies = load_movies(path)
    assert math.isnan(movies.frame["popularity"][0])
    assert movies.skipped == {"film: popularity is not a number (film kept, cell left empty)": 1}


def test_movielens_films(tmp_path: Path) -> None:
    """MovieLens' ids are its own, genres come with bars, and the year ends the title."""
    path = tmp_path / "movies.csv"
    path.write_text(
        'movieId,title,genres\n1,Toy Story (1995),Adventure|Comedy\n11,"American President, The (1995)",Drama\n'
        "9,Untitled,(no genres listed)\n"
    )
    movies = load_movies(path)
    assert movies.key == "movielens"
    assert movies.frame["title"].tolist()[1] == "American President, The (1995)"
    assert movies.frame["genres"].tolist() == ["Adventure|Comedy", "Drama", ""]
    assert movies.frame["release_date"].tolist() == ["1995", "1995", ""]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("userId,movieId,rating,timestamp\n1,2,3,4\n", "row 1: these are not films but ratings; give them with --r"),
        ("movieId,imdbId,tmdbId\n1,2,3\n", "row 1: these are not films but links"),
        ("movie_id,title,cast,crew\n1,a,[],[]\n", "row 1: these are not films but credits"),
        ("id,name,genres\n1,a,[]\n", "row 1: there is no column title"),
        ("movieId,title\n1,a\n", "row 1: there is no column genres"),
        ("id,title,genres\n", "row 2: there are no films"),
        ("id,title,genres\n1,A,[]\nx,B,[]\ny,C,[]\n", "row 3, column id: id is not a whole number ('x'), and 2 of 3"),
    ],
    ids=["ratings", "links", "credits", "no title", "no genres", "no rows", "mostly bad"],
)
def test_a_file_that_is_not_what_it_claims_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    """The message names the file, the row and the column, and what to give instead."""
    path = tmp_path / "films.csv"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        load_movies(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)
