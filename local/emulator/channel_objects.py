"""The objects of an input channel: those below a prefix, or of a manifest; and which of them are a host's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from emulator.errors import NotImplementedHere

LONGEST_NAME = 255  # bytes, of a file or folder; AWS names the same limit
KINDS = ("S3Prefix", "ManifestFile", "AugmentedManifestFile")
Item = TypeVar("Item")
_KNOWN = {"S3DataType", "S3Uri", "S3DataDistributionType", "AttributeNames"}


class TransferFailed(Exception):
    """Objects could not be fetched or stored; the message says which and why."""


@dataclass(frozen=True)
class Share:
    """Which part of a channel goes to this host when it is ShardedByS3Key."""

    host: int = 0
    hosts: int = 1


ONLY = Share()


@dataclass(frozen=True)
class S3Object:
    """An object, and where it goes."""

    bucket: str
    key: str
    relative: str  # path below the channel's folder
    size: int | None = None  # as far as known
    etag: str | None = None

    @property
    def uri(self) -> str:
        """Its URI."""
        return f"s3://{self.bucket}/{self.key}"


def objects(s3: Any, channel: Mapping[str, Any], share: Share = ONLY, epoch: int = 0) -> list[S3Object]:
    """What this host gets of a channel of S3Prefix or ManifestFile, in its order.

    Raises TransferFailed, and NotImplementedHere for what AWS has and this has not.
    """
    source = source_of(channel)
    found = list(_manifest(s3, source) if source["S3DataType"] == "ManifestFile" else below(s3, source["S3Uri"]))
    if not found:
        raise no_objects(source["S3Uri"])
    return ordered(found, channel, share, epoch)


def ordered(items: list[Item], channel: Mapping[str, Any], share: Share, epoch: int) -> list[Item]:
    """A host's part of the items (objects, or lines of an augmented manifest), in the order of that epoch.

    With ShuffleConfig they are shuffled before they are shared out, so that each epoch a host may get others.
    """
    if "ShuffleConfig" in channel:
        items = list(items)
        random.Random(f"{channel['ShuffleConfig']['Seed']}/{epoch}").shuffle(items)  # noqa: S311 - reproducible
    source = channel["DataSource"]["S3DataSource"]
    if source.get("S3DataDistributionType") == "ShardedByS3Key":
        items = items[share.host :: share.hosts]
    return items


def no_objects(uri: str) -> TransferFailed:
    """AWS's words for a source without data."""
    return TransferFailed(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the '
        "bucket exists in the selected region and that objects exist under that S3 prefix."
    )


def source_of(channel: Mapping[str, Any]) -> Mapping[str, Any]:
    """The channel's S3DataSource, when all that it asks for is there. Raises NotImplementedHere."""
    name = channel["ChannelName"]
    data_source = channel["DataSource"]
    source: Mapping[str, Any] = data_source.get("S3DataSource", {})
    kind = source.get("S3DataType", next(iter(data_source), "DataSource"))
    if kind not in KINDS:
        raise NotImplementedHere(f"Channel {name!r}: {kind} is not implemented here; {', '.join(KINDS)} are.")
    for parameter in sorted(set(source) - _KNOWN):
        raise NotImplementedHere(f"Channel {name!r}: S3DataSource.{parameter} is not implemented here.")
    return source


def split(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an s3:// URI; nothing in it is decoded. Raises TransferFailed."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise TransferFailed(f"not an S3 URI of the form s3://bucket/key: {uri!r}")
    return bucket, key


def below(s3: Any, uri: str) -> Iterator[S3Object]:
    """All objects whose key begins with the URI's; in the order of their keys.

    A prefix that names a "folder", with or without the last slash, is left out of the path. Of other keys that begin
    the same way, and of the object that has exactly this key, only what is before the last slash is left out.
    """
    bucket, prefix = split(uri)
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    beside = prefix.rpartition("/")[0] + "/" if "/" in prefix else ""
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if key.endswith("/"):
                    continue  # a console's "folder"
                relative = key.removeprefix(folder if key.startswith(folder) else beside)
                yield S3Object(bucket, key, relative, entry["Size"], entry["ETag"])
    except (BotoCoreError, ClientError) as error:
        raise TransferFailed(f'The objects under "{uri}" cannot be listed: {error}') from error


def _manifest(s3: Any, source: Mapping[str, Any]) -> Iterator[S3Object]:
    """The objects that a manifest names: `[{"prefix": "s3://bucket/some/prefix/"}, "relative/path", …]`."""
    uri = source["S3Uri"]
    content = read(s3, uri, "manifest")
    try:
        first, *paths = json.loads(content)
        bucket, prefix = split(first["prefix"])
        if not all(isinstance(path, str) for path in paths):
            raise TypeError("a path is not a text")
    except (ValueError, TypeError, KeyError) as error:
        raise TransferFailed(f'"{uri}" is not a manifest, [{{"prefix": "s3://…"}}, "path", …]: {error!r}') from error
    for path in paths:
        yield S3Object(bucket, prefix + path, path)


def read(s3: Any, uri: str, what: str) -> bytes:
    """An object that says where data is. Raises TransferFailed."""
    bucket, key = split(uri)
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise TransferFailed(f'The {what} "{uri}" cannot be read: {error}') from error
    return content
