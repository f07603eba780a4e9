"""Java's patterns in Python."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from emulator.wire import patterns
from emulator.wire.model import service_model


@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime"])
def test_every_pattern_of_the_models_compiles(service: str) -> None:
    """No pattern of either service is beyond the translation."""
    model = service_model(service)
    found = [model.shape_for(name).metadata.get("pattern") for name in model.shape_names]
    compiled = [patterns.compiled(pattern) for pattern in found if pattern]
    assert len(compiled) > 10


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*", "kmeans-1", True),
        (r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*", "kmeans_1", False),  # AWS matches the whole, though there is no $
        (r"^[a-z]$", "a\n", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Übung 漢字 ½ a@b", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a#b", False),
        (r"\p{ASCII}*", "é", False),
        (r"\A\S[\p{Print}]*\z", "a b", True),
        (r"\A\S[\p{Print}]*\z", "a\n", False),
        (r"arn:[\p{Alnum}\-]+:x", "arn:aws-cn:x", True),
        (r"([\p{L}]*)${1,128}", "abc", True),
        ("[\\u0020-\\uD7FF\\uE000-\\uFFFD\\uD800\\uDC00-\\uDBFF\\uDFFF\\t]*", "a🎬\t", True),
        (r"\w+", "é", False),  # ASCII only in Java
        (r"[\d]+", "٣", False),
        (".*", "a\rb", False),
        (".*", "a\u2028b", False),
        ("[.]", ".", True),
        ("[[]", "[", True),
        ("[]a]+", "]a", True),
        ("[^]a]+", "]", False),
        ("[a^]b", "^b", True),
        (r"[a\]]\p{L}", "]é", True),
    ],
)
def test_reads_patterns_as_java_does(pattern: str, text: str, matches: bool) -> None:
    """Where Java and Python differ, Java's reading counts."""
    assert (patterns.compiled(pattern).fullmatch(text) is not None) is matches


def test_no_characters_are_beyond_the_ranges_looked_at() -> None:
    """Python's Unicode database has no letters, marks, … outside of the ranges that the classes are made from."""
    inside = {point for start, stop in patterns._ASSIGNED for point in range(start, stop)}
    outside = {point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point))[0] != "C"} - inside
    assert outside == set()
