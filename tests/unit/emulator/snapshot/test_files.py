"""The files of a snapshot, whole and damaged."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.snapshot.files import Damaged, Entry, Files, Saved

BUCKET = Entry("b", about={"region": "eu-west-1"})
OBJECT = Entry("b", "a b/ü\n", {"headers": {"content-type": "text/x"}}, 5)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A snapshot with a bucket and an object."""
    made = Files(tmp_path)
    made.write(OBJECT, [b"he", b"llo"])
    made.write(BUCKET)
    return made


def whole(files: Files) -> list[Saved]:
    """What is there; nothing may be damaged."""
    found = list(files.read())
    assert all(isinstance(saved, Saved) for saved in found), found
    return [saved for saved in found if isinstance(saved, Saved)]


def test_what_was_written_is_read(files: Files) -> None:
    """Buckets first, with all that was said about them, and an object with its bytes."""
    bucket, saved = whole(files)
    assert (bucket.entry, saved.entry) == (BUCKET, OBJECT)
    with saved.open() as file:
        assert file.read(OBJECT.length) == b"hello"


def test_a_name_is_written_over_and_removed(files: Files) -> None:
    """There is one of each name; removing what is not there is no error."""
    files.write(Entry("b", OBJECT.key, {}, 1), [b"x"])
    assert [saved.entry.length for saved in whole(files)] == [0, 1]
    files.remove("b", OBJECT.key)
    files.remove("b", OBJECT.key)
    assert [saved.entry.key for saved in whole(files)] == [None]


def cut(path: Path) -> None:
    """Half of it is gone."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """A byte of the description is another one."""
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda path: path.write_bytes(b""), lambda path: path.write_text("{}\n")]
)
def test_a_damaged_file_is_told_and_set_aside(files: Files, damage: Callable[[Path], None]) -> None:
    """The others are read; it is still there for people, and is not told again."""
    path = whole(files)[1].path
    damage(path)
    bucket, told = files.read()
    assert isinstance(bucket, Saved)
    assert isinstance(told, tuple)
    assert told[0] == path
    assert path.with_name(f"{path.name}.damaged").exists()
    assert [saved.entry for saved in whole(files)] == [BUCKET]


def test_wrong_bytes_are_found_before_they_are_used(files: Files) -> None:
    """The length is right, the bytes are not."""
    saved = whole(files)[1]
    content = bytearray(saved.path.read_bytes())
    content[saved.offset] ^= 1
    saved.path.write_bytes(content)
    with pytest.raises(Damaged, match="checksum"):
        whole(files)[1].open()


def test_what_was_being_written_when_the_emulator_was_killed_is_dropped(files: Files) -> None:
    """What there was before is kept."""
    saved = whole(files)[1]
    unfinished = saved.path.with_name(f"{saved.path.name}.new")
    unfinished.write_bytes(saved.path.read_bytes()[:70])
    told = [found for found in files.read() if not isinstance(found, Saved)]
    assert [path for path, _ in told] == [unfinished]
    assert not unfinished.exists()
    assert len(whole(files)) == 2


def test_a_cut_connection_leaves_what_there_was(files: Files) -> None:
    """Fewer bytes than announced, or an error in the middle: neither is kept, and nothing is left over."""

    def break_off() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionError

    for blocks, error in (([b"x"], Damaged), (break_off(), ConnectionError)):
        with pytest.raises(error):
            files.write(OBJECT, blocks)
    with whole(files)[1].open() as file:
        assert file.read(5) == b"hello"


def test_a_full_disk_leaves_what_there_was(files: Files) -> None:
    """The kernel refuses to write on (a limit on files' sizes stands for the disk); nothing is in the way then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(OSError, match="large"):
            files.write(Entry("b", OBJECT.key, {}, 3_000_000), [bytes(1_000_000)] * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    with whole(files)[1].open() as file:
        assert file.read(5) == b"hello"
