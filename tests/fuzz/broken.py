"""Where a valid request can be made invalid, how, and what AWS then says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from emulator.wire.patterns import compiled

_CONTAINERS = ("structure", "list", "map")
_LONGEST = 10_000  # what has to be longer than that to be too long is left alone
_MOST_ITEMS = 300
_WRONG: dict[str, tuple[Any, ...]] = {
    "string": (7, True, {}, []),
    "integer": ("1", 1.5, True, 10**400, [], {}, 2**31),
    "long": ("1", 1.5, True, 10**400, [], {}, 2**63),
    "float": ("1.0", False, 10**400, [], {}),
    "double": ("1.0", False, 10**400, [], {}),
    "boolean": ("true", 1, [], {}),
    "timestamp": ("yesterday", True, 10**400, -(10**20), [], {}),
    "blob": ("%%%", 1, [], {}),
    "structure": ("x", 1, []),
    "list": ("x", 1, {}),
    "map": ("x", 1, []),
}
_ODD = ("!", " ", "é", "\u0001", "_", "$%", "-", ".", "/", "a b", "\n")  # one of them fits into hardly any pattern


@dataclass(frozen=True)
class Break:
    """One place that is made invalid."""

    kind: str
    tokens: tuple[Any, ...]  # the way to it: names, indices, keys
    place: str  # as AWS writes it
    put: Any = None  # what is put there; for "missing" nothing

    def of(self, tree: Any) -> Any:
        """The parameters with that one place broken."""
        made = copy.deepcopy(tree)
        parent = made
        for token in self.tokens[:-1]:
            parent = parent[token]
        if self.kind == "missing":
            del parent[self.tokens[-1]]
        elif self.kind == "key":
            parent[self.tokens[-1]][self.put] = next(iter(parent[self.tokens[-1]].values()))
        else:
            parent[self.tokens[-1]] = self.put(parent[self.tokens[-1]]) if callable(self.put) else self.put
        return made


def breaks(shape: StructureShape, value: dict[str, Any], *, typed: bool) -> Iterator[Break]:
    """All that can be broken in `value`; `typed`: with values of the wrong JSON type, too."""
    yield from _structure(shape, value, (), "", typed)


def _structure(
    shape: StructureShape, value: dict[str, Any], way: tuple[Any, ...], prefix: str, typed: bool
) -> Iterator[Break]:
    for name, member in shape.members.items():
        place = prefix + name[:1].lower() + name[1:]
        if name not in value:
            continue
        in_path = member.serialization.get("location") == "uri"
        in_body = member.type_name == "blob" and shape.serialization.get("payload") == name  # none is an empty one
        if name in shape.required_members and not in_path and not in_body:
            yield Break("missing", (*way, name), place)
        yield from _value(member, value[name], (*way, name), place, place, typed)
    if typed:
        yield Break("unknown", (*way, "NoSuchMember"), "NoSuchMember", 1)


def _value(shape: Shape, value: Any, way: tuple[Any, ...], place: str, named: str, typed: bool) -> Iterator[Break]:
    """`named`: the place that AWS names, which is the list's or map's for a scalar inside."""
    in_path = shape.serialization.get("location") == "uri"
    for put in _violations(shape, value):
        if not (in_path and put == ""):  # that is another path
            yield Break("constraint", way, named, put)
    if typed:
        for put in _WRONG[shape.type_name]:
            yield Break("type", way, named, put)
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, way, f"{place}.", typed)
    elif isinstance(shape, ListShape):
        scalars = shape.member.type_name not in _CONTAINERS
        for index, item in enumerate(value):
            inner = f"{place}.{index + 1}.member"
            yield from _value(shape.member, item, (*way, index), inner, place if scalars else inner, typed)
    elif isinstance(shape, MapShape):
        scalars = shape.value.type_name not in _CONTAINERS
        for key, item in value.items():
            inner = f"{place}.{key}.member"
            yield from _value(shape.value, item, (*way, key), inner, place if scalars else inner, typed)
        if value:
            for put in _violations(shape.key, next(iter(value))):
                yield Break("key", way, place, put)


def _violations(shape: Shape, value: Any) -> Iterator[Any]:
    rules, kind = shape.metadata, shape.type_name
    if kind == "string":
        yield from _bad_texts(shape)
    elif kind == "blob" and rules.get("max", 10**9) < 2**23:
        yield b"x" * (rules["max"] + 1)
    elif kind in ("integer", "long", "float", "double"):
        if "min" in rules and rules["min"] > -(2**31):
            yield rules["min"] - 1
        if "max" in rules and rules["max"] < 2**31 - 1:
            yield rules["max"] + 1
    elif kind == "list":
        if rules.get("min", 0) > 0:
            yield []
        if value and rules.get("max", 10**9) <= _MOST_ITEMS:
            yield _grown(rules["max"] + 1)


def _grown(size: int) -> Callable[[list[Any]], list[Any]]:
    return lambda items: (items * size)[:size]


def _bad_texts(shape: Shape) -> Iterator[str]:
    rules = shape.metadata
    least, most = rules.get("min", 0), rules.get("max", 10**9)
    if "enum" in rules:
        yield "NoSuchValue"
        return
    header = shape.serialization.get("location") in ("header", "uri")
    if most < _LONGEST:
        yield "a" * (most + 1)
    if least > 0 and not header:
        yield ""
    if "pattern" in rules:
        pattern = compiled(rules["pattern"])
        for odd in _ODD:
            text = odd * max(1, least)
            if len(text) <= most and not pattern.fullmatch(text) and not (header and not _sendable(text)):
                yield text


def _sendable(text: str) -> bool:
    return (
        text.isascii() and text.isprintable() and text == text.strip() and "/" not in text and text not in (".", "..")
    )
