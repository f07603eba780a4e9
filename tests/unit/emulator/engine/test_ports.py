from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator.engine import ports


def test_nobody_is_told_the_same_port() -> None:
    """Also when many ask at the same time, and nobody has bound his yet."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ports.free_port(), range(200)))
    assert len(set(found)) == 200


def test_a_port_is_none_of_those_of_outgoing_connections(tmp_path: Path) -> None:
    """Whatever their range is; it can be bound."""
    (tmp_path / "range").write_text("12000\t60999\n")
    for _ in range(20):
        port = ports.free_port(tmp_path / "range")
        assert ports.LOWEST <= port < 12000
        with socket.socket() as mine:
            mine.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever address it is taken; where none is left, the kernel chooses."""
    taken = ports.free_port()
    monkeypatch.setattr(ports, "LOWEST", taken)
    monkeypatch.setattr(ports, "_given", [])
    (tmp_path / "range").write_text(f"{taken + 1} 60999")
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", taken))
        mine.listen()
        assert ports.free_port(tmp_path / "range") != taken


@pytest.mark.parametrize("content", [None, "", "1024 60999"])
def test_where_every_port_may_be_taken_the_kernel_chooses(tmp_path: Path, content: str | None) -> None:
    """Also where nobody knows which they are."""
    if content is not None:
        (tmp_path / "range").write_text(content)
    assert ports.free_port(tmp_path / "range") > 0
