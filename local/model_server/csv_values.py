"""Reads CSV: a line is an instance, a list if it has a comma, else a scalar; what is not a number is a string."""

from __future__ import annotations

import re
from typing import Any

import orjson

from model_server.errors import BadInputError

_OF_NUMBERS = b"-+0123456789eE., \t"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|-?Infinity|NaN")
_LONGEST_NUMBER = 400  # digits; no double needs more, and Python refuses to convert integers far longer
# A cell: quoted (a quote in it is doubled) or plain, up to the next comma or the end of the line.
_CELL = re.compile(r'[ \t]*"((?:[^"]|"")*)"[ \t]*(?=,|$)|([^,]*)')


def parse(body: bytes) -> list[Any]:
    """The instances, one for each line that is not blank.

    Raises BadInputError for invalid UTF-8, an empty body, and a quote that is not closed.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    instances = [_instance(line, number) for number, line in enumerate(body.splitlines(), start=1) if line.strip()]
    if not instances:
        raise BadInputError("The CSV body is empty: one line for each instance is expected")
    return instances


def _instance(line: bytes, number: int) -> Any:
    if not line.translate(None, _OF_NUMBERS):
        try:  # most bodies are plain numbers, and those a JSON parser reads many times faster
            values = orjson.loads(b"[" + line + b"]")
        except orjson.JSONDecodeError:
            pass  # an empty cell, "+1", ".5", or no number at all, like "1-2"
        else:
            return values if b"," in line else values[0]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"The body is not valid UTF-8 in line {number} at byte {error.start}: {error.reason}"
        ) from error
    cells = _cells(text, number)
    # The container looks for a comma in the text, so one quoted cell with a comma in it is a list of one.
    return cells if "," in text else cells[0]


def _cells(text: str, line_number: int) -> list[Any]:
    cells: list[Any] = []
    place = 0
    while True:
        match = _CELL.match(text, place)
        if match is None:  # cannot happen: the second half of the pattern matches the empty text
            raise AssertionError(text)
        quoted, plain = match.groups()
        if quoted is None and plain.lstrip().startswith('"'):
            raise BadInputError(
                f"Line {line_number}, column {len(cells) + 1} of the CSV: a cell that starts with a quote must end "
                "with one (a quote inside it is doubled)"
            )
        cells.append(_value(plain) if quoted is None else quoted.replace('""', '"'))
        place = match.end()
        if place == len(text):
            return cells
        place += 1  # the comma


def _value(cell: str) -> Any:
    text = cell.strip()
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return cell
