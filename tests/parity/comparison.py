"""Compares what was seen with two engines, value by value: what may differ has a name, and what has one must differ."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

# Of numbers with a fraction. The engines run the same builds of the same packages on the same machine, and are seen to
# agree to the last bit; the room is for machines whose containers see other instructions of the processor.
TOLERANCE = 1e-6
ABSENT = "(not there)"

Observation = Mapping[str, Any]  # value by key: "SM_TRAINING_ENV/hosts/0"


@dataclass(frozen=True)
class Difference:
    """Values that must differ from the reference's, and why. Texts are regular expressions for the whole value."""

    name: str
    keys: tuple[str, ...]  # shell patterns
    why: str
    here: str = ".*"
    reference: str = ".*"
    sometimes: bool = False  # it depends on the machine, or on chance: it need not occur

    def allows(self, key: str, here: Any, reference: Any) -> set[str]:
        """Those of its patterns that speak of this key and these values."""
        both = ((self.here, here), (self.reference, reference))
        if not all(re.fullmatch(pattern, str(value), re.DOTALL) for pattern, value in both):
            return set()
        return {pattern for pattern in self.keys if fnmatchcase(key, pattern)}


@dataclass(frozen=True)
class Comparison:
    """What came of it."""

    unexpected: Sequence[str]  # each shows the key and both sides
    unused: Sequence[str]  # names of differences, with a pattern of theirs, that did not occur
    greatest: float  # the greatest distance of two numbers that are equal within the tolerance

    def problems(self, here: str, reference: str) -> str:
        """A text for people; empty when there are none."""
        lines = [f"{len(self.unexpected)} unexpected differences ({here} / {reference}):"] if self.unexpected else []
        lines += self.unexpected
        if self.unused:
            lines.append(f"differences that are listed for {here}, but do not occur: {'; '.join(self.unused)}")
        return "\n".join(lines)


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and sequences by path; a text that is JSON of either is taken apart as well."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from flatten(value[name], f"{key}/{name}" if key else str(name))
    elif isinstance(value, list | tuple) and value:
        for number, item in enumerate(value):
            yield from flatten(item, f"{key}/{number}" if key else str(number))
    else:
        yield key, value


def with_names(observation: Observation, names: Mapping[str, str]) -> dict[str, Any]:
    """The observation with a common name for each text that every run has its own of; the longest goes first."""

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            for text in sorted(names, key=len, reverse=True):
                value = value.replace(text, names[text])
        return value

    return {key: renamed(value) for key, value in observation.items()}


def compare(here: Observation, reference: Observation, allowed: Iterable[Difference]) -> Comparison:
    """Hold each value of either against the other's."""
    allowed = list(allowed)
    unexpected, greatest = [], 0.0
    used: set[tuple[str, str]] = set()
    for key in sorted(here.keys() | reference.keys()):
        ours, theirs = here.get(key, ABSENT), reference.get(key, ABSENT)
        if _same(ours, theirs):
            greatest = max(greatest, abs(ours - theirs)) if isinstance(ours, float) else greatest
            continue
        found = {(each.name, pattern) for each in allowed for pattern in each.allows(key, ours, theirs)}
        used |= found
        if not found:
            unexpected.append(f"  {key}\n    {ours!r}\n    {theirs!r}")
    unused = [
        f"{each.name} ({pattern})"
        for each in allowed
        for pattern in each.keys
        if not each.sometimes and (each.name, pattern) not in used
    ]
    return Comparison(unexpected, unused, greatest)


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
