"""The files of a snapshot: one an object and one a bucket, each of which says all about itself: no index is wrong.

A file is a line that says what it is, a checksum and a JSON document in the second line, the object's bytes, and their
SHA-256. It appears by a rename, complete and written through, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_FORMAT = b"sagemaker-rehearsal snapshot 1\n"
_LONGEST_ABOUT = 1024 * 1024
_DIGEST_BYTES = 32
_BLOCK = 1024 * 1024
_UNFINISHED, _DAMAGED = ".new", ".damaged"


class Damaged(Exception):
    """The file is not what was written; the message says what is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """A bucket (`key` is None) or an object, and what it takes to make it again but for its bytes."""

    bucket: str
    key: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)  # JSON
    length: int = 0

    @property
    def uri(self) -> str:
        """Its name for people."""
        return f"s3://{self.bucket}" if self.key is None else f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Saved:
    """An entry on disk."""

    entry: Entry
    path: Path
    offset: int  # of the object's first byte

    def open(self) -> BinaryIO:
        """The file, at the object's first byte, once all of them are seen to be right. Raises Damaged, OSError.

        The digest stands behind the bytes: read no more than `entry.length`.
        """
        file = self.path.open("rb")
        try:
            file.seek(self.offset)
            digest, left = hashlib.sha256(), self.entry.length
            while left and (block := file.read(min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)
            if left or file.read(_DIGEST_BYTES + 1) != digest.digest():
                raise Damaged("its checksum is wrong")
            file.seek(self.offset)
        except BaseException:
            file.close()
            raise
        return file


class Files:
    """The snapshot in one folder. Different entries may be written from different threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, entry: Entry, blocks: Iterable[bytes] = ()) -> None:
        """Keep it in place of what there was of that name. Raises OSError (a full disk), and what `blocks` raises.

        Raises Damaged when `blocks` have another length than the entry says: the connection was cut.
        """
        path = self._path(entry.bucket, entry.key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = path.with_name(path.name + _UNFINISHED)
        about = json.dumps([entry.bucket, entry.key, entry.length, entry.about]).encode()
        digest, length = hashlib.sha256(), 0
        try:
            with unfinished.open("wb") as file:
                file.write(_FORMAT + b"%08x " % zlib.crc32(about) + about + b"\n")
                for block in blocks:
                    digest.update(block)
                    length += len(block)
                    file.write(block)
                if length != entry.length:
                    raise Damaged(f"{length} bytes came of {entry.length}")
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)  # on a full disk it would be in the way of the others
            raise

    def remove(self, bucket: str, key: str | None) -> None:
        """Forget it; no error when it is not there."""
        self._path(bucket, key).unlink(missing_ok=True)

    def read(self) -> Iterator[Saved | tuple[Path, Damaged]]:
        """Everything, buckets first; what cannot be used with its reason: it is set aside, and not met again."""
        for path in sorted(self.folder.glob("*/*"), key=lambda path: (path.parent.name != "buckets", path)):
            if path.suffix == _UNFINISHED:
                path.unlink(missing_ok=True)
                yield path, Damaged("it was being written when the emulator was killed; what it had before is kept")
            elif path.suffix != _DAMAGED:
                try:
                    yield self._read(path)
                except (Damaged, OSError) as error:
                    self.set_aside(path)
                    yield path, Damaged(str(error))

    def set_aside(self, path: Path) -> None:
        """Leave a damaged file to people."""
        path.replace(path.with_name(path.name + _DAMAGED))

    def _read(self, path: Path) -> Saved:
        with path.open("rb") as file:
            if file.readline(len(_FORMAT)) != _FORMAT:
                raise Damaged("its first line is not a snapshot's")
            checksum, _, about = file.readline(_LONGEST_ABOUT).rstrip(b"\n").partition(b" ")
            if checksum != b"%08x" % zlib.crc32(about):
                raise Damaged("the checksum of its description is wrong")
            bucket, key, length, rest = json.loads(about)
            saved = Saved(Entry(bucket, key, rest, length), path, file.tell())
        if path.stat().st_size != saved.offset + length + _DIGEST_BYTES:
            raise Damaged("its length is wrong")
        return saved

    def _path(self, bucket: str, key: str | None) -> Path:
        if key is None:
            return self.folder / "buckets" / hashlib.sha256(bucket.encode()).hexdigest()
        name = hashlib.sha256(f"{bucket}/{key}".encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / name[:2] / name  # a folder for every 256th: 10,000 in one are slow to list
