"""Which parameters of an operation are implemented: what is not listed is refused by name, never ignored in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.errors import NotImplementedHere


class Supported:
    """Paths of parameters, as "A.B" and, through lists, "A[].B"; everything below a path belongs to it."""

    def __init__(
        self,
        operation: str,
        works: Iterable[str],
        no_effect: Iterable[str] = (),
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """`notes`, by path, are remarks for docs/operations.md: which values there are, say."""
        self.operation = operation
        self.works = frozenset(works)
        self.no_effect = frozenset(no_effect)  # accepted, and shown by Describe, but nothing follows from it here
        self.notes = dict(notes or {})
        self._known = self.works | self.no_effect
        self._above = {path[:i] for path in self._known for i, letter in enumerate(path) if letter in ".["}

    def reaches_into(self, path: str) -> bool:
        """Whether some, not all, of what is below the path is listed."""
        return path in self._above

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise NotImplementedHere naming the first parameter that is not listed."""
        self._check(parameters, "")

    def _check(self, value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for key, below in value.items():
                self._check_member(below, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for below in value:
                self._check(below, f"{path}[]")

    def _check_member(self, value: object, path: str) -> None:
        if path in self._known:
            return
        if path not in self._above:
            raise self.refusal(path)
        self._check(value, path)

    def refusal(self, path: str, value: str = "") -> NotImplementedHere:
        """The error for a parameter (or one value of it) that is not implemented."""
        what = f"{path} = {value!r}" if value else path
        return NotImplementedHere(
            f"{self.operation}: the emulator does not implement {what}. "
            "See docs/operations.md for what it implements; leave the parameter out, or run this on AWS."
        )
