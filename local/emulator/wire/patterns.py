r"""The models' patterns are Java's; this makes Python's `re` read them the same way.

What differs: `\p{…}` classes, `\z`, surrogate pairs, quantifiers after `$`; `\w`, `\d` and `\s` are ASCII in Java;
the dot also stops at `\r` and three Unicode line ends. AWS wants the whole value to match, anchored or not.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata

_POSIX = {"Alnum": "0-9A-Za-z", "ASCII": r"\x00-\x7F", "Print": r"\x20-\x7E"}
# Beyond these are no characters but controls, private and unassigned ones (a test watches over that).
_ASSIGNED = ((0, 0x32000), (0xE0000, 0xE0200))
_TOKEN = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\p\{(?P<property>\w+)\}"
    r"|(?P<end>\\z)"
    r"|(?P<quantified_end>\$\{\d+(?:,\d*)?\})"
    r"|(?P<escape>\\.)"
    r"|(?P<other>.)",
    re.DOTALL,
)


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The Java `pattern`, for `fullmatch`. Raises re.error if it is beyond both."""
    out: list[str] = []
    in_class, opened = False, 0
    class_start = ["["], ["[", "^"]  # behind these a bracket is a character
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if token["pair"]:
            # Java joins an escaped surrogate pair to the one character that it stands for.
            high, low = int(text[2:6], 16), int(text[8:12], 16)
            text = f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"
        elif token["property"]:
            ranges = _POSIX.get(token["property"]) or _general_category(token["property"])
            text = ranges if in_class else f"[{ranges}]"
        elif token["end"]:
            text = r"\Z"
        elif token["quantified_end"] and not in_class:
            text = "$"
        elif text == "[" and not in_class:
            in_class, opened = True, len(out)
        elif text == "[":
            text = r"\["  # Python warns of what looks like a nested set
        elif text == "]" and in_class and out[opened:] not in class_start:
            in_class = False
        elif text == "." and not in_class:
            text = r"[^\n\r\x85\u2028\u2029]"
        out.append(text)
    return re.compile("".join(out), re.ASCII)


@functools.cache
def _general_category(name: str) -> str:
    """The characters of a Unicode category (`L`, `Nd`, …, but not `C`) as the inside of a set."""
    ranges = "".join(f"\\U{first:08X}-\\U{last:08X}" for category, first, last in _runs() if category.startswith(name))
    if not ranges:
        raise re.error(f"unknown character property {name!r}")
    return ranges


@functools.cache
def _runs() -> list[tuple[str, int, int]]:
    """All letters, marks, numbers, punctuation, symbols and separators as (category, first, last); 50 ms, once."""
    runs = []
    for start, stop in _ASSIGNED:
        point = start
        for category, group in itertools.groupby(map(unicodedata.category, map(chr, range(start, stop)))):
            length = sum(1 for _ in group)
            if not category.startswith("C"):
                runs.append((category, point, point + length - 1))
            point += length
    return runs
