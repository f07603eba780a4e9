"""Strategies for parameters that AWS's model allows, made of nothing but the model's shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from hypothesis import strategies as st

from emulator.operations import supported
from emulator.wire.patterns import compiled

Draw = Callable[..., Any]
DEEPEST = 8  # levels; what may nest without end (a search expression) is cut off there
MOST_ITEMS = 2
MOST_MEMBERS = 5
MOST_TEXT = 24
INTEGERS = {"integer": 2**31 - 1, "long": 2**63 - 1}
HEADER = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


@st.composite
def parameters(draw: Draw, operation: OperationModel, *, implemented: bool) -> dict[str, Any]:
    """Parameters of the operation; `implemented`: only those that the emulator says to know."""
    known = supported().get(operation.name)
    paths = known.works | known.no_effect if implemented and known else frozenset()
    made: dict[str, Any] = _structure(draw, operation.input_shape, "", paths, 0)
    return made


def _structure(draw: Draw, shape: StructureShape, path: str, paths: frozenset[str], depth: int) -> dict[str, Any]:
    """All required members, and some of the others; with `paths` only what is on them, or below."""
    allowed = {}
    for name, member in shape.members.items():
        below = f"{path}.{name}" if path else name
        inside = any(known.startswith((f"{below}.", f"{below}[")) for known in paths)
        if not paths or inside or below in paths or name in shape.required_members:
            allowed[name] = (member, below, frozenset() if below in paths else paths)
    if getattr(shape, "is_tagged_union", False):
        chosen = [draw(st.sampled_from(sorted(allowed)))]
    else:
        optional = sorted(allowed.keys() - shape.required_members) if depth < DEEPEST else []
        # A few at a time: half of forty are more than anybody sends, and take long to make.
        some = draw(st.lists(st.sampled_from(optional), max_size=MOST_MEMBERS, unique=True)) if optional else []
        chosen = [*shape.required_members, *some]
    return {name: _value(draw, *allowed[name], depth + 1) for name in chosen}


def _value(draw: Draw, shape: Shape, path: str, paths: frozenset[str], depth: int) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(draw, shape, path, paths, depth)
    least = shape.metadata.get("min", 0)
    most = least if depth > DEEPEST else max(least, min(shape.metadata.get("max", MOST_ITEMS), MOST_ITEMS))
    if isinstance(shape, ListShape):
        size = draw(st.integers(least, most))
        return [_value(draw, shape.member, f"{path}[]", paths, depth + 1) for _ in range(size)]
    if isinstance(shape, MapShape):
        keys = draw(st.lists(scalar(shape.key), min_size=least, max_size=most, unique=True))
        return {key: _value(draw, shape.value, path, frozenset(), depth + 1) for key in keys}
    return draw(scalar(shape))


def scalar(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape that has no other shapes inside."""
    in_header = shape.serialization.get("location") == "header"
    key = shape.name, in_header
    if key not in _SCALARS:
        _SCALARS[key] = _scalar(shape, in_header)
    return _SCALARS[key]


_SCALARS: dict[tuple[str, bool], st.SearchStrategy[Any]] = {}


def _scalar(shape: Shape, in_header: bool) -> st.SearchStrategy[Any]:
    rules, kind = shape.metadata, shape.type_name
    if kind == "string":
        return _text(shape, in_header)
    if kind in INTEGERS:
        limit = INTEGERS[kind]
        return st.integers(math.ceil(rules.get("min", -limit)), math.floor(rules.get("max", limit)))
    if kind in ("float", "double"):
        return st.floats(rules.get("min"), rules.get("max"), allow_nan=False, allow_infinity=False)
    if kind == "timestamp":
        whole = st.integers(0, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000))
        return whole.map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
    if kind == "blob":
        return st.binary(max_size=64)
    assert kind == "boolean", kind
    return st.booleans()


def _text(shape: Shape, in_header: bool) -> st.SearchStrategy[str]:
    rules = shape.metadata
    least, most = rules.get("min", 0), rules.get("max", 10**9)
    if "enum" in rules:
        return st.sampled_from(rules["enum"])
    letters = HEADER if in_header else st.characters(codec="utf-8")
    text = st.text(letters, min_size=least, max_size=min(most, max(MOST_TEXT, least)))
    if "pattern" not in rules:
        return text
    pattern = compiled(rules["pattern"])
    if _is_anything(rules["pattern"]):
        return text.filter(pattern.fullmatch)
    generated = st.from_regex(pattern, fullmatch=True, alphabet=letters)
    return generated.filter(lambda value: least <= len(value) <= most and pattern.fullmatch(value))


def _is_anything(pattern: str) -> bool:
    return (
        re.sub(r"^\^|\$$", "", pattern) in {".*", ".+", r"[\S\s]*", r"[\s\S]*", r"\p{ASCII}*", "[ -~]*"}
        and "p{" not in pattern
    )
