"""Files that people hand us: what is accepted, and what a refused one is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from runner.csv_table import read_header, read_rows
from runner.data import DataError

PLAIN = "id,title\n1,Alien\n2,Heat\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.rstrip("\n").encode(),
        gzip.compress(PLAIN.encode()),
        PLAIN.replace("1,", "\n1,").encode(),
    ],
    ids=["plain", "byte-order mark", "CRLF", "no last newline", "gzip", "blank line"],
)
def test_the_same_table_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    """Byte-order mark, line ends, compression and blank lines make no difference."""
    path = tmp_path / "films.csv"
    path.write_bytes(content)
    assert read_header(path) == ["id", "title"]
    assert [row.cells for row in read_rows(path)] == [
        {"id": "1", "title": "Alien"},
        {"id": "2", "title": "Heat"},
    ]


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    """A cell with line breaks is one row, and the header is row 1."""
    path = tmp_path / "films.csv"
    path.write_text('id,title\n1,"two\nlines"\n2,Heat\n')
    assert [row.number for row in read_rows(path)] == [2, 3]


def test_missing_and_surplus_cells_are_told(tmp_path: Path) -> None:
    """A short row's cells are empty, a long row says how much too long it is."""
    path = tmp_path / "films.csv"
    path.write_text("id,title\n1\n2,Heat,x,y\n")
    short, long = read_rows(path)
    assert (short.cells, short.surplus) == ({"id": "1", "title": ""}, 0)
    assert long.surplus == 2


@pytest.mark.parametrize(
    ("content", "place", "remedy"),
    [
        (b"", "row 1", "empty"),
        (b"\n\n", "row 1", "empty"),
        (b"id;title\n1;Alien\n", "row 1, column 1", "semicolons"),
        (b"id\ttitle\n1\tAlien\n", "row 1, column 1", "tabs"),
        (b"1::Toy Story (1995)::Animation\n", "row 1, column 1", "double colons"),
        (b"id,title\n1,Alien\n2,Am\xe9lie\n", "line 3, column 2", "UTF-8"),
        ("id,title\n1,Alien\n".encode("utf-16"), "row 1", "UTF-8"),
        (b"PK\x03\x04rest of it", "", "Unpack"),
        (gzip.compress(PLAIN.encode() * 1000)[:-20], "row", "damaged"),
        (b'id,title\n1,Alien\n2,"Heat\n3,Ran\n', "row 3, column title", "never closed"),
    ],
    ids=["empty", "blank", "semicolons", "tabs", "colons", "latin-1", "utf-16", "zip", "cut gzip", "open quote"],
)
def test_a_file_that_is_no_such_csv_is_refused_with_place_and_remedy(
    tmp_path: Path, content: bytes, place: str, remedy: str
) -> None:
    """The message names the file, the place in it, and what to do."""
    path = tmp_path / "films.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read_rows(path))
    message = str(error.value)
    assert str(path) in message
    assert place in message
    assert remedy in message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A name that leads nowhere is an error of the data, not a traceback."""
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        read_header(tmp_path / "nowhere.csv")
