"""Unpacks archives that others have made: nothing in them writes outside of the folder, or fills disk or memory.

Python's own `data` filter refuses devices and what leads out of the folder; the rules on links here stand beside it,
since up to Python 3.11.12 a chain of links can lead it astray (CVE-2025-4517).
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

# tarfile reads data in small pieces, but a header's extension at once, of whatever length it states.
_LONGEST_READ = 16 * 1024 * 1024
# What tarfile raises for headers that are no headers, besides its own errors.
_UNSOUND = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError, IndexError)


class BadArchive(Exception):
    """An archive cannot be unpacked, or would write outside its folder; the message says which."""


def extract(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz; a member that would leave the folder, or is a device, is refused. Raises BadArchive."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rules = _Rules(folder)
        with gzip.open(archive) as unzipped, tarfile.open(fileobj=_Bounded(unzipped), mode="r:") as tar:
            tar.extractall(folder, filter=rules.check)  # noqa: S202 - with rules of its own
    except tarfile.FilterError as error:
        raise BadArchive(f"refused: {error}") from error
    except _UNSOUND as error:
        raise BadArchive(f"not a sound .tar.gz archive: {error}") from error


class _Rules:
    """What is asked of each member, in the order of the archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = shutil.disk_usage(folder).free

    def check(self, member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        """The member as it is to be unpacked. Raises FilterError and BadArchive."""
        checked = tarfile.data_filter(member, folder)
        # A sparse file counts with all its holes: whoever copies it has to write them.
        self._left -= checked.size
        if self._left < 0:
            raise BadArchive(f"refused: at {checked.name!r} it takes more than the disk has left")
        path = PurePosixPath(checked.name)
        if self._passes_a_link(path if not checked.issym() else path.parent):
            raise BadArchive(f"refused: {checked.name!r} leads through a link")
        if checked.islnk() and self._passes_a_link(PurePosixPath(checked.linkname)):
            raise BadArchive(f"refused: {checked.name!r} is a hard link to {checked.linkname!r}, through a link")
        if checked.issym() and ".." in _after_the_way_up(PurePosixPath(checked.linkname)):
            # After a link in it, `..` would lead up from wherever that leads.
            raise BadArchive(f"refused: {checked.name!r} is a link to {checked.linkname!r}, down and up again")
        return checked

    def _passes_a_link(self, path: PurePosixPath) -> bool:
        return any((self._folder / part).is_symlink() for part in (path, *path.parents) if part.parts)


def _after_the_way_up(target: PurePosixPath) -> tuple[str, ...]:
    parts = target.parts
    while parts and parts[0] == "..":
        parts = parts[1:]
    return parts


class _Bounded(io.BufferedIOBase):
    """A file of which nobody reads very much at once."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes. Raises BadArchive for a size that no sound archive needs."""
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise BadArchive(f"refused: one of its headers says that it has {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()
