"""Input channels in Pipe mode: the bytes that a program reads from a channel's pipe in one epoch.

Sources: "Augmented Manifest File Format for Pipe Mode Training" in AWS's developer guide, `Channel` in its API
reference, and MXNet's description of RecordIO, the format that it names.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from emulator.channel_objects import ONLY, Share, TransferFailed, no_objects, objects, ordered, read, source_of, split

CHUNK_BYTES = 1 << 20
RECORD_MAGIC = 0xCED7230A
LONGEST_RECORD = (1 << 29) - 1  # its length has 29 bits
GZIP_WINDOW = 31  # zlib's way to say: with the header of gzip


def stream(s3: Any, channel: Mapping[str, Any], share: Share = ONLY, epoch: int = 0) -> Iterator[bytes]:
    """The channel's data for this host and epoch (0, 1, …), in chunks. Raises TransferFailed, NotImplementedHere."""
    if source_of(channel)["S3DataType"] == "AugmentedManifestFile":
        parts = _augmented(s3, channel, share, epoch)
    else:
        parts = (_object(s3, item.uri, channel) for item in objects(s3, channel, share, epoch))
    wrapped = channel.get("RecordWrapperType", "None") == "RecordIO"
    for part in parts:
        if wrapped:
            yield _record(b"".join(part))
        else:
            yield from part


def _augmented(s3: Any, channel: Mapping[str, Any], share: Share, epoch: int) -> Iterator[Iterable[bytes]]:
    """Of each line of the manifest each attribute that was asked for: "…-ref" is the object that it names."""
    source = source_of(channel)
    uri, names = source["S3Uri"], source.get("AttributeNames", ())
    lines = [line for line in read(s3, uri, "augmented manifest").splitlines() if line.strip()]
    if not lines:
        raise no_objects(uri)
    for line in ordered(lines, channel, share, epoch):
        try:
            entry = json.loads(line)
            values = [(name, entry[name]) for name in names]
        except (ValueError, TypeError, KeyError) as error:
            raise TransferFailed(
                f'A line of the augmented manifest "{uri}" is no JSON object with {", ".join(names)}: {error!r}'
            ) from error
        for name, value in values:
            if name.endswith("-ref"):
                yield _object(s3, str(value), channel)
            else:
                yield [(value if isinstance(value, str) else json.dumps(value)).encode()]


def _object(s3: Any, uri: str, channel: Mapping[str, Any]) -> Iterator[bytes]:
    """What is in the object, unpacked where the channel says that it is packed."""
    bucket, key = split(uri)
    try:
        chunks = s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK_BYTES)
        yield from _unpacked(chunks) if channel.get("CompressionType", "None") == "Gzip" else chunks
    except zlib.error as error:
        raise TransferFailed(f"{uri}: not in gzip's format, which CompressionType says it is: {error}") from error
    except (BotoCoreError, ClientError, HTTPError) as error:
        raise TransferFailed(f"{uri}: {error}") from error


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file, of all its members. Raises zlib.error."""
    member = zlib.decompressobj(GZIP_WINDOW)
    begun = False
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(GZIP_WINDOW)
            begun = True
            yield member.decompress(rest)
            rest = member.unused_data
    if begun and not member.eof:
        raise zlib.error("it ends too early")


def _record(content: bytes) -> bytes:
    """One record: the magic number, its length, the content, zeros up to a multiple of four bytes."""
    if len(content) > LONGEST_RECORD:
        raise TransferFailed(f"An object of {len(content)} bytes does not fit into one record of RecordIO.")
    return struct.pack("<II", RECORD_MAGIC, len(content)) + content + b"\0" * (-len(content) % 4)
