"""Input channels and artifacts: S3 objects to files and back, laid out as SageMaker does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.subscribers import BaseSubscriber

from emulator.errors import NotImplementedHere

PARALLEL = 8  # downloads at a time
LONGEST_NAME = 255  # bytes, of a file or folder; AWS names the same limit


class TransferFailed(Exception):
    """Objects could not be fetched or stored; the message says which and why."""


@dataclass(frozen=True)
class Share:
    """Which part of a channel goes to this host when it is ShardedByS3Key."""

    host: int = 0
    hosts: int = 1


@dataclass(frozen=True)
class _Object:
    """An object, and where it goes."""

    bucket: str
    key: str
    relative: str  # path below the channel's folder
    size: int | None = None  # as far as known
    etag: str | None = None


class _Known(BaseSubscriber):  # type: ignore[misc]  # s3transfer is not typed
    """Tells the transfer what the listing said, which saves a request an object."""

    def __init__(self, item: _Object) -> None:
        self._item = item

    def on_queued(self, future: Any, **_: Any) -> None:
        """Called by s3transfer before it starts."""
        if self._item.size is not None:
            future.meta.provide_transfer_size(self._item.size)
            future.meta.provide_object_etag(self._item.etag)


ONLY = Share()


def download(s3: Any, channel: Mapping[str, Any], folder: Path, share: Share = ONLY) -> None:
    """Fill `folder` with the data of an element of InputDataConfig, File mode.

    Raises TransferFailed, and NotImplementedHere for what AWS has and this has not.
    """
    source = _source(channel)
    found = list(_manifest(s3, source) if source["S3DataType"] == "ManifestFile" else _prefix(s3, source["S3Uri"]))
    if not found:
        raise TransferFailed(
            f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that the '
            "bucket exists in the selected region and that objects exist under that S3 prefix."
        )
    if source.get("S3DataDistributionType") == "ShardedByS3Key":
        found = [item for number, item in enumerate(found) if number % share.hosts == share.host]
    folder.mkdir(parents=True, exist_ok=True)
    for item in found:
        _refuse_bad_names(item)
    _fetch(s3, found, folder)


def download_object(s3: Any, uri: str, path: Path) -> None:
    """Fetch the one object of that URI into a file. Raises TransferFailed."""
    bucket, key = split(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(bucket, key, str(path))
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise TransferFailed(f"{uri}: {error}") from error


def upload(s3: Any, path: Path, uri: str, kms_key_id: str = "") -> None:
    """Store a file as the object of that URI, encrypted with the key where one is named. Raises TransferFailed."""
    bucket, key = split(uri)
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else None
    try:
        s3.upload_file(str(path), bucket, key, ExtraArgs=encryption)
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise TransferFailed(f"{uri}: {error}") from error


def split(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an s3:// URI; nothing in it is decoded. Raises TransferFailed."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise TransferFailed(f"not an S3 URI of the form s3://bucket/key: {uri!r}")
    return bucket, key


def _source(channel: Mapping[str, Any]) -> Mapping[str, Any]:
    """The channel's S3DataSource, when all that it asks for is there. Raises NotImplementedHere, TransferFailed."""
    name = channel["ChannelName"]
    mode = channel.get("InputMode", "File")
    if mode != "File":
        raise NotImplementedHere(f"Channel {name!r}: InputMode {mode} is not implemented here; File is.")
    if channel.get("CompressionType", "None") != "None":
        # "CompressionType is used only in Pipe input mode. In File mode, leave this field unset or set it to None."
        raise TransferFailed(
            f"Channel {name!r}: CompressionType {channel['CompressionType']} goes with Pipe mode only."
        )
    if "ShuffleConfig" in channel:
        raise NotImplementedHere(f"Channel {name!r}: ShuffleConfig is not implemented here.")
    data_source = channel["DataSource"]
    source: Mapping[str, Any] = data_source.get("S3DataSource", {})
    kind = source.get("S3DataType", next(iter(data_source), "DataSource"))
    if kind not in ("S3Prefix", "ManifestFile"):
        raise NotImplementedHere(f"Channel {name!r}: {kind} is not implemented here; S3Prefix and ManifestFile are.")
    for parameter in sorted(set(source) - {"S3DataType", "S3Uri", "S3DataDistributionType"}):
        raise NotImplementedHere(f"Channel {name!r}: S3DataSource.{parameter} is not implemented here.")
    return source


def _prefix(s3: Any, uri: str) -> Iterator[_Object]:
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
                yield _Object(bucket, key, relative, entry["Size"], entry["ETag"])
    except (BotoCoreError, ClientError) as error:
        raise TransferFailed(f'The objects under "{uri}" cannot be listed: {error}') from error


def _manifest(s3: Any, source: Mapping[str, Any]) -> Iterator[_Object]:
    """The objects that a manifest names: `[{"prefix": "s3://bucket/some/prefix/"}, "relative/path", …]`."""
    uri = source["S3Uri"]
    bucket, key = split(uri)
    try:
        first, *paths = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        bucket, prefix = split(first["prefix"])
    except (BotoCoreError, ClientError) as error:
        raise TransferFailed(f'The manifest "{uri}" cannot be read: {error}') from error
    except (ValueError, TypeError, KeyError) as error:
        raise TransferFailed(f'"{uri}" is not a manifest, [{{"prefix": "s3://…"}}, "path", …]: {error!r}') from error
    for path in paths:
        yield _Object(bucket, prefix + str(path), str(path))


def _refuse_bad_names(item: _Object) -> None:
    """AWS: no empty name, no ".", no "..", no null byte, none longer than 255 bytes."""
    for name in item.relative.split("/"):
        if name in ("", ".", "..") or "\0" in name or len(name.encode()) > LONGEST_NAME:
            raise TransferFailed(
                f's3://{item.bucket}/{item.key}: the part {name!r} of "{item.relative}" cannot be the name of a file.'
            )


def _fetch(s3: Any, items: list[_Object], folder: Path) -> None:
    with create_transfer_manager(s3, TransferConfig(max_concurrency=PARALLEL)) as manager:
        futures = []
        for item in items:
            path = folder / PurePosixPath(item.relative)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    raise FileExistsError(f"{path.name} is a folder already")
            except OSError as error:
                raise TransferFailed(f"s3://{item.bucket}/{item.key}: another object is in the way: {error}") from error
            futures.append((item, manager.download(item.bucket, item.key, str(path), subscribers=[_Known(item)])))
        for item, future in futures:
            try:
                future.result()
            except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
                raise TransferFailed(f"s3://{item.bucket}/{item.key}: {error}") from error
