"""Reads JSON as TensorFlow Serving does: UTF-8, with `NaN` and `Infinity`; and several values after each other."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from model_server.errors import BadInputError

_SPACE = re.compile(r"[ \t\n\r]*")
_BOM = b"\xef\xbb\xbf"
_SHOWN = 60  # characters of a value in a message


def parse(body: bytes) -> Any:
    """The one JSON value that the body holds.

    Raises BadInputError with the position for anything else, invalid UTF-8 and an empty body included.
    """
    values = parse_many(body)
    if len(values) > 1:
        raise BadInputError(
            f"JSON Parse error: the body holds {len(values)} JSON values after each other, but must be one"
        )
    return values[0]


def parse_many(body: bytes) -> list[Any]:
    """All JSON values of the body, at least one; lists and objects may follow each other without white space.

    Raises BadInputError with the position of the first thing that is not JSON.
    """
    body = body.removeprefix(_BOM)
    try:
        return [orjson.loads(body)]
    except orjson.JSONDecodeError:
        pass  # perhaps several values, or NaN: see below; if it is simply wrong, that is found there, too
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1:
        try:
            return [orjson.loads(line) for line in lines]
        except orjson.JSONDecodeError:
            pass  # values over several lines, or several in one
    return _parse_slowly(body)


def describe(value: Any) -> str:
    """A JSON value in a few words, for error messages."""
    if isinstance(value, list):
        return f"a list of {len(value)} value{'' if len(value) == 1 else 's'}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _parse_slowly(body: bytes) -> list[Any]:
    """As `parse_many`, with the standard library's parser: takes NaN, and can stop at the end of a value."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInputError(f"The body is not valid UTF-8 at byte {error.start}: {error.reason}") from error
    place = _after_space(text, 0)
    if place == len(text):
        raise BadInputError("JSON Parse error: The document is empty")
    values: list[Any] = []
    while place < len(text):
        start = place
        try:
            value, place = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise BadInputError(f"JSON Parse error: {error}") from error
        except ValueError as error:  # a number too long for Python, or too big for a double
            raise BadInputError(f"JSON Parse error: {error} (in the value at char {start})") from error
        except RecursionError as error:
            raise BadInputError(f"JSON Parse error: nested too deeply (in the value at char {start})") from error
        values.append(value)
        end, place = place, _after_space(text, place)
        if place == end < len(text) and not (text[end - 1] in "}]" and text[place] in "{["):
            raise BadInputError(f"JSON Parse error: {json.JSONDecodeError('Extra data', text, end)}")
    return values


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too big to be stored in a double")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite)
