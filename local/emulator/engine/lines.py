"""Cuts a program's output into lines of text."""

from __future__ import annotations

from collections.abc import Iterator

# CloudWatch Logs takes 256 KiB an event; what is longer goes on in the next line, so that nothing is lost or hoarded.
LONGEST = 256 * 1024 - 26


class Lines:
    """Feed it chunks of bytes; bytes that are not UTF-8 become the replacement character."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that this chunk completes, without their ends (newline, or carriage return and newline)."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._rest += piece
            yield from self._flush()
        self._rest += rest
        while len(self._rest) > LONGEST:
            yield self._cut()

    def end(self) -> Iterator[str]:
        """What was left without a newline."""
        if self._rest:
            yield from self._flush()

    def _flush(self) -> Iterator[str]:
        while len(self._rest) > LONGEST:
            yield self._cut()
        yield self._rest.decode("utf-8", "replace").removesuffix("\r")
        self._rest.clear()

    def _cut(self) -> str:
        """The first LONGEST bytes, or up to three fewer so that no character is split."""
        size = LONGEST
        while size > LONGEST - 3 and self._rest[size] & 0b1100_0000 == 0b1000_0000:
            size -= 1
        text = self._rest[:size].decode("utf-8", "replace")
        del self._rest[:size]
        return text
