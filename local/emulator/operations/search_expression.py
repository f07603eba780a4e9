"""AWS's search expressions: whether a resource, as Describe shows it, satisfies one. Pure.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Filter.html and API_SearchExpression.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from emulator.errors import ValidationError

Expression = Mapping[str, Any]
Described = Mapping[str, Any]  # what Describe shows, with Tags and Metrics as maps

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
# What is below these is a key of the user's own, and may have dots.
_MAPS = ("Tags", "HyperParameters", "Environment", "Metrics")


class Expressions:
    """Search expressions over the properties of one kind of resource, of which these are the outermost names."""

    def __init__(self, properties: frozenset[str]) -> None:
        self._properties = properties

    def check(self, expression: Expression) -> None:
        """Raise ValidationError for an expression that cannot be evaluated, whatever there is to be searched."""
        filters = list(_all_filters(expression))
        for nested in _all_nested(expression):
            self.check_name(nested["NestedPropertyName"])
        for each in filters:
            self.check_name(each["Name"])
            if each.get("Operator", "Equals") not in ("Exists", "NotExists") and "Value" not in each:
                raise ValidationError(f"The filter on {each['Name']} needs a Value.")
        if sum(each.get("Operator") == "Contains" for each in filters) > 1:
            raise ValidationError("'CONTAINS' operator usage limit of 1 exceeded.")  # AWS's words: API_Filter.html

    def check_name(self, name: str) -> None:
        """Raise ValidationError unless it is the name of a property."""
        if name.partition(".")[0] not in self._properties:
            raise ValidationError(f"Unknown property name: {name}.")

    def speaks_of(self, property_: str, expression: Expression, sort_by: str) -> bool:
        """Whether it takes that property to evaluate the expression, or to sort."""
        names = [sort_by, *(each["Name"] for each in _all_filters(expression))]
        names += [each["NestedPropertyName"] for each in _all_nested(expression)]
        return any(name.partition(".")[0] == property_ for name in names)

    def satisfied(self, expression: Expression, described: Described) -> bool:
        """Whether the resource is found. Raises ValidationError for a value that does not suit its property."""
        conditions = [
            *(_holds(each, described) for each in expression.get("Filters", ())),
            *(_nested_holds(each, described) for each in expression.get("NestedFilters", ())),
            *(self.satisfied(each, described) for each in expression.get("SubExpressions", ())),
        ]
        return any(conditions) if expression.get("Operator") == "Or" else all(conditions)


def values(described: Any, name: str) -> list[Any]:
    """All values that the property has: none where it is missing, several where the way to it leads through lists."""
    if isinstance(described, list):
        return [value for element in described for value in values(element, name)]
    head, _, rest = name.partition(".")
    if not isinstance(described, Mapping) or head not in described:
        return []
    if not rest:
        value = described[head]
        return list(value) if isinstance(value, list) else [value]
    if head in _MAPS:
        return [described[head][rest]] if rest in described[head] else []
    return values(described[head], rest)


def _all_filters(expression: Expression) -> Iterator[Mapping[str, str]]:
    yield from expression.get("Filters", ())
    for nested in expression.get("NestedFilters", ()):
        yield from nested["Filters"]
    for below in expression.get("SubExpressions", ()):
        yield from _all_filters(below)


def _all_nested(expression: Expression) -> Iterator[Mapping[str, Any]]:
    yield from expression.get("NestedFilters", ())
    for below in expression.get("SubExpressions", ()):
        yield from _all_nested(below)


def _nested_holds(nested: Mapping[str, Any], described: Described) -> bool:
    """Whether one element of the list satisfies all filters, whose names begin with the list's."""
    outer = nested["NestedPropertyName"]
    return any(
        all(_holds({**each, "Name": each["Name"].removeprefix(f"{outer}.")}, element) for each in nested["Filters"])
        for element in values(described, outer)
    )


def _holds(filter_: Mapping[str, str], described: Any) -> bool:
    name, kind = filter_["Name"], filter_.get("Operator", "Equals")
    found = values(described, name)
    if kind in ("Exists", "NotExists"):
        return bool(found) == (kind == "Exists")
    wanted = filter_["Value"]
    if kind == "NotEquals":
        return not any(_equal(name, value, wanted) for value in found)
    return any(_compared(kind, name, value, wanted) for value in found)


def _compared(kind: str, name: str, value: Any, wanted: str) -> bool:
    if kind == "Equals":
        return _equal(name, value, wanted)
    if kind == "Contains":
        return wanted in _text(name, value, kind)
    if kind == "In":
        return _text(name, value, kind) in [each.strip() for each in wanted.split(",")]
    return _ORDERED[kind](*_pair(name, value, wanted, kind))


def _equal(name: str, value: Any, wanted: str) -> bool:
    if isinstance(value, str) and (value == wanted or _number(value) is None or _number(wanted) is None):
        return value == wanted
    if isinstance(value, str) and not name.startswith("HyperParameters."):
        return False
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    if isinstance(value, Mapping):
        return False
    left, right = _pair(name, value, wanted, "Equals")
    return bool(left == right)


def _pair(name: str, value: Any, wanted: str, kind: str) -> tuple[Any, Any]:
    """The two as what can be compared: times, or numbers."""
    if isinstance(value, datetime):
        moment = _time(name, wanted)
        # A time of whole seconds means the second, not its first millisecond.
        return (value if moment.microsecond else value.replace(microsecond=0)), moment
    number = _number(value)
    if (
        isinstance(value, bool)
        or number is None
        or (isinstance(value, str) and not name.startswith("HyperParameters."))
    ):
        raise ValidationError(f"The operator {kind} is not supported for the property {name}, which is text.")
    limit = _number(wanted)
    if limit is None:
        raise ValidationError(f"The property {name} is a number, and cannot be compared with {wanted!r}.")
    # "If the specified Value is an integer, the decimal hyperparameter values are treated as integers": API_Filter.html
    return (float(int(number)) if isinstance(value, str) and _is_integer(wanted) else number), limit


def _text(name: str, value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"The operator {kind} is only supported for text properties, and {name} is none.")
    return value


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) != float("inf") and number == number else None


def _is_integer(text: str) -> bool:
    return text.strip().lstrip("+-").isdecimal()


def _time(name: str, text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValidationError(
            f"The property {name} is a time, and cannot be compared with {text!r}: use yyyy-MM-dd'T'HH:mm:ss."
        ) from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
