"""The emulator's own log stays short."""

from __future__ import annotations

from pathlib import Path

from emulator.log_file import keep_short


def test_a_long_log_begins_anew_and_its_end_is_kept(tmp_path: Path) -> None:
    """Whoever writes goes on at the beginning; there are two files, however much is written."""
    path = tmp_path / "emulator.log"
    with path.open("ab", buffering=0) as log:
        for number in range(5):
            log.write(b"%d" % number * 60)
            keep_short(path, log.fileno(), longest=100)
        assert path.read_bytes() == b"4" * 60
        assert (tmp_path / "emulator.log.1").read_bytes() == b"2" * 60 + b"3" * 60


def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """In the foreground the standard error may be any file of the user's."""
    path = tmp_path / "emulator.log"
    path.write_bytes(b"x" * 200)
    with (tmp_path / "other").open("ab") as other:
        keep_short(path, other.fileno(), longest=100)
    assert path.stat().st_size == 200
