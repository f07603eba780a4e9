"""Archives that others have made, hostile ones above all."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.archives import BadArchive, extract

Member = tuple[str, dict[str, Any]]


def file(name: str, **more: Any) -> Member:
    """An ordinary file of four bytes."""
    return name, {"size": 4, **more}


def link(name: str, target: str) -> Member:
    """A symbolic link."""
    return name, {"type": tarfile.SYMTYPE, "linkname": target}


def hard(name: str, target: str) -> Member:
    """A hard link."""
    return name, {"type": tarfile.LNKTYPE, "linkname": target}


def folder(name: str) -> Member:
    """A folder."""
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755}


def made(path: Path, members: Sequence[Member]) -> Path:
    """An archive of them."""
    with tarfile.open(path, "w:gz") as tar:
        for name, more in members:
            member = tarfile.TarInfo(name)
            for attribute, value in more.items():
                setattr(member, attribute, value)
            tar.addfile(member, io.BytesIO(b"evil") if member.isreg() else None)
    return path


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """Type, rights and size of all there is, by path."""
    return {str(path): (path.lstat().st_mode, path.lstat().st_size) for path in sorted(root.rglob("*"))}


LONG = "d" * 247


def too_long_to_resolve() -> list[Member]:
    """CVE-2025-4517: links so long when resolved that Python gives up resolving, and lets the `..` after them pass."""
    members, path = [], ""
    for letter in "abcdefghijklmnop":
        members += [folder(f"{path}{LONG}"), link(f"{path}{letter}", LONG)]
        path += f"{LONG}/"
    chain = f"{'/'.join('abcdefghijklmnop')}/{'l' * 254}"
    return [*members, link(chain, "../" * 16), link("escape", f"{chain}/../outside"), file("escape/planted")]


@pytest.mark.parametrize(
    "members",
    [
        [file("../outside/planted")],
        [file("a/../../outside/planted")],
        [folder("../outside/planted")],
        [link("out", "../outside"), file("out/planted")],
        [link("out", "/etc")],
        [link("out", "../outside/victim"), file("out")],
        [link("a/b/up", "../.."), link("out", "a/b/up/../../outside"), file("out/planted")],
        [folder("a"), link("a/b", "."), link("out", "a/b/../../outside")],
        [hard("hard", "../outside/victim")],
        [hard("hard", "/etc/hostname")],
        [link("out", "../outside"), hard("hard", "out/victim"), file("hard")],
        [folder("in"), link("door", "in"), file("door/x")],
        [link("door", "x"), file("door")],
        [folder("in"), file("in/x"), link("door", "in"), hard("hard", "door/x")],
        [("device", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})],
        [("device", {"type": tarfile.BLKTYPE, "devmajor": 8})],
        [("pipe", {"type": tarfile.FIFOTYPE})],
        too_long_to_resolve(),
    ],
    ids=[
        "parent", "nested parent", "parent folder", "through a link out", "absolute link", "over a link out",
        "down, and up through a link", "link down and up", "hard link out", "absolute hard link",
        "hard link through a link out", "through a link inside", "over a link inside",
        "hard link through a link inside", "character device", "block device", "pipe", "too long to resolve",
    ],
)  # fmt: skip
def test_nothing_leaves_the_folder(tmp_path: Path, members: list[Member]) -> None:
    """Such an archive is refused, and what is outside is untouched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    before = everything(outside)
    with pytest.raises(BadArchive, match=r"refused|not a sound"):
        extract(made(tmp_path / "a.tar.gz", members), tmp_path / "model")
    assert everything(outside) == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "model", "outside"}


def test_an_absolute_name_stays_inside(tmp_path: Path) -> None:
    """A member with an absolute name is put below the folder, as tar does."""
    extract(made(tmp_path / "a.tar.gz", [file("/etc/x"), file("//etc//y")]), tmp_path / "model")
    assert (tmp_path / "model/etc/x").read_bytes() == (tmp_path / "model/etc/y").read_bytes() == b"evil"


def test_links_within(tmp_path: Path) -> None:
    """They stay, up and down, as a job that keeps a `latest` leaves them."""
    members = [folder("1/a"), file("1/a/x"), link("latest", "1"), link("1/a/first", "../../latest"), hard("y", "1/a/x")]
    extract(made(tmp_path / "a.tar.gz", members), tmp_path / "model")
    assert (tmp_path / "model/latest/a/first/a/x").read_bytes() == b"evil"
    assert (tmp_path / "model/y").samefile(tmp_path / "model/1/a/x")


def test_no_rights_that_nobody_should_have(tmp_path: Path) -> None:
    """No setuid, setgid or sticky bit, no right to write for others, and its owner is who unpacks it."""
    members = [file("x", mode=0o7777, uid=0, gid=0, uname="root"), file("unreadable", mode=0)]
    extract(made(tmp_path / "a.tar.gz", members), tmp_path / "model")
    status = (tmp_path / "model/x").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_uid == os.getuid()
    assert (tmp_path / "model/unreadable").read_bytes() == b"evil"


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred", "äöü/漢字", "-rf", "a:b", "$(id)", "a b;c", "\udcff"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    """A name is a name, whatever a shell or a terminal would make of it."""
    extract(made(tmp_path / "a.tar.gz", [file(name)]), tmp_path / "model")
    assert (tmp_path / "model" / name).read_bytes() == b"evil"
    with pytest.raises(BadArchive) as caught:
        extract(made(tmp_path / "b.tar.gz", [file(f"../{name}")]), tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["n" * 300, "d/" * 3000 + "x", "zero\0byte/../../x"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    """Too long ones are said to be; what is behind a zero byte is no part of the name."""
    archive = made(tmp_path / "a.tar.gz", [file(name)])
    if "\0" in name:
        with tarfile.open(archive) as tar:
            assert tar.getnames() == ["zero"]
        extract(archive, tmp_path / "model")
    else:
        with pytest.raises(BadArchive, match=r"name too long|sound"):
            extract(archive, tmp_path / "model")
    assert not (tmp_path / "x").exists()


def test_more_than_the_disk_has(tmp_path: Path) -> None:
    """A sparse file of a petabyte has 2 kB in the archive; it is refused before anything is written."""
    sparse = tarfile.TarInfo("sparse")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 512)  # its one part
    header[483:495] = b"\x80" + (10**15).to_bytes(11, "big")  # its real size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(bytes(header) + b"x" * 512 + bytes(1024)))
    with tarfile.open(archive) as tar:
        assert tar.getmember("sparse").size == 10**15
    with pytest.raises(BadArchive, match="'sparse' it takes more than the disk has left"):
        extract(archive, tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    """An extended header is read at once: one that says it has a terabyte is refused, not read."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 10**12
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)))
    with pytest.raises(BadArchive, match="1000000000"):
        extract(archive, tmp_path / "model")


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_archives_that_are_none(tmp_path: Path, cut: int) -> None:
    """Text, an empty file and an archive cut short are a BadArchive."""
    whole = made(tmp_path / "whole.tar.gz", [file(f"{number}-{os.urandom(50).hex()}") for number in range(50)])
    (tmp_path / "a.tar.gz").write_bytes(whole.read_bytes()[:cut] if cut else b"no archive")
    with pytest.raises(BadArchive, match="sound"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=12)), max_size=6))
def test_broken_headers(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]) -> None:
    """Whatever bytes stand in it: it is unpacked or a BadArchive, and nothing is beside the folder."""
    place = tmp_path_factory.mktemp("broken")
    members = [file("a" * 120, pax_headers={"comment": "c"}), link("l", "a"), folder("d")]
    with gzip.open(made(place / "a.tar.gz", members)) as unzipped:
        raw = bytearray(unzipped.read())
    for at, new in changes:
        raw[at : at + len(new)] = new
        start = at // 512 * 512  # a right checksum: else it ends right there
        raw[start + 148 : start + 156] = b" " * 8
        raw[start + 148 : start + 156] = b"%06o\0 " % sum(raw[start : start + 512])
    (place / "a.tar.gz").write_bytes(gzip.compress(bytes(raw), 1))
    with suppress(BadArchive):
        extract(place / "a.tar.gz", place / "deep/model")
    assert {path.name for path in place.iterdir()} <= {"a.tar.gz", "deep"}
    assert {path.name for path in (place / "deep").iterdir()} == {"model"}
