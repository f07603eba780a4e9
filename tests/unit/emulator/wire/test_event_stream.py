"""Event streams, read by botocore's own parser."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.eventstream import EventStream as BotocoreStream
from botocore.exceptions import EventStreamError
from botocore.parsers import EventStreamJSONParser
from hypothesis import given
from hypothesis import strategies as st

from emulator.wire.event_stream import EventStream, frame, message
from emulator.wire.faults import BadOutput
from emulator.wire.model import service_model


class FakeRawStream:
    """Bytes as urllib3 hands them out."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def stream(self) -> Iterator[bytes]:
        """The chunks."""
        yield from self._chunks

    def close(self) -> None:
        """Nothing is open."""


def shape() -> Any:
    """The runtime's stream of events."""
    operation = service_model("sagemaker-runtime").operation_model("InvokeEndpointWithResponseStream")
    return operation.get_event_stream_output()


def parsed(chunks: list[bytes]) -> BotocoreStream:
    """What boto3 makes of it."""
    return BotocoreStream(FakeRawStream(chunks), shape(), EventStreamJSONParser(), "InvokeEndpointWithResponseStream")


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_parts_come_out_as_they_went_in(parts: list[bytes]) -> None:
    """Whatever bytes they hold, cut wherever the network cuts them."""
    data = b"".join(EventStream(shape(), ({"PayloadPart": {"Bytes": part}} for part in parts)))
    assert [event["PayloadPart"]["Bytes"] for event in parsed([data[:7], data[7:]])] == parts


def test_an_error_within_the_stream_is_raised_after_what_came_before() -> None:
    """With its code and its message, as boto3 raises it."""
    events: list[dict[str, Any]] = [
        {"PayloadPart": {"Bytes": b"a"}},
        {"ModelStreamError": {"Message": "it broke", "ErrorCode": "StreamBroken"}},
    ]
    stream = iter(parsed(list(EventStream(shape(), events))))
    assert next(stream) == {"PayloadPart": {"Bytes": b"a"}}
    with pytest.raises(EventStreamError, match=r"ModelStreamError.*it broke"):
        next(stream)


def test_a_mistake_of_ours_ends_the_stream_as_aws_would(caplog: pytest.LogCaptureFixture) -> None:
    """An InternalStreamFailure, without a word of the traceback, which the log has."""

    def events() -> Iterator[dict[str, Any]]:
        yield {"PayloadPart": {"Bytes": b"a"}}
        raise RuntimeError("inner detail")

    with caplog.at_level(logging.ERROR):
        data = b"".join(EventStream(shape(), events()))
    assert b"inner detail" not in data
    assert "inner detail" in caplog.text
    with pytest.raises(EventStreamError, match="InternalStreamFailure"):
        list(parsed([data]))


def test_what_the_shape_does_not_have_is_a_mistake() -> None:
    """Neither another event nor another type can leak."""
    with pytest.raises(BadOutput):
        message(shape(), {"Other": {}})
    with pytest.raises(BadOutput):
        message(shape(), {"PayloadPart": {"Bytes": "text"}})


def test_the_checksums() -> None:
    """A message of the format's own description, byte by byte."""
    assert frame({}, b"{'foo':'bar'}") == bytes.fromhex(
        "0000001d00000000fd528c5a7b27666f6f273a27626172277dc36539 36".replace(" ", "")
    )
