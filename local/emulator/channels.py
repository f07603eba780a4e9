"""Input channels in File mode, and artifacts: S3 objects to files and back, laid out as SageMaker does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.subscribers import BaseSubscriber

from emulator.channel_objects import (
    LONGEST_NAME,
    ONLY,
    S3Object,
    Share,
    TransferFailed,
    below,
    objects,
    source_of,
    split,
)
from emulator.errors import NotImplementedHere

PARALLEL = 8  # downloads at a time


class _Known(BaseSubscriber):  # type: ignore[misc]  # s3transfer is not typed
    """Tells the transfer what the listing said, which saves a request an object."""

    def __init__(self, item: S3Object) -> None:
        self._item = item

    def on_queued(self, future: Any, **_: Any) -> None:
        """Called by s3transfer before it starts."""
        if self._item.size is not None:
            future.meta.provide_transfer_size(self._item.size)
            future.meta.provide_object_etag(self._item.etag)


def download(s3: Any, channel: Mapping[str, Any], folder: Path, share: Share = ONLY) -> None:
    """Fill `folder` with the data of an element of InputDataConfig, File mode.

    Raises TransferFailed, and NotImplementedHere for what AWS has and this has not.
    """
    _check(channel)
    found = objects(s3, channel, share)
    _place(s3, found, folder)


def download_prefix(s3: Any, uri: str, folder: Path) -> None:
    """Fetch all objects below that prefix into the folder; there may be none. Raises TransferFailed."""
    _place(s3, list(below(s3, uri)), folder)


def _check(channel: Mapping[str, Any]) -> None:
    """Raise for what File mode has not: TransferFailed where AWS has not either, else NotImplementedHere."""
    name = channel["ChannelName"]
    mode = channel.get("InputMode", "File")
    if mode != "File":
        raise NotImplementedHere(f"Channel {name!r}: InputMode {mode} does not make files.")
    for parameter in ("CompressionType", "RecordWrapperType"):
        if channel.get(parameter, "None") != "None":
            raise TransferFailed(f"Channel {name!r}: {parameter} {channel[parameter]} goes with Pipe mode only.")
    if source_of(channel)["S3DataType"] == "AugmentedManifestFile":
        raise TransferFailed(f"Channel {name!r}: AugmentedManifestFile goes with Pipe mode only.")


def _place(s3: Any, found: list[S3Object], folder: Path) -> None:
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


def _refuse_bad_names(item: S3Object) -> None:
    """AWS: no empty name, no ".", no "..", no null byte, none longer than 255 bytes."""
    for name in item.relative.split("/"):
        if name in ("", ".", "..") or "\0" in name or not 0 < _bytes(name) <= LONGEST_NAME:
            raise TransferFailed(
                f's3://{item.bucket}/{item.key}: the part {name!r} of "{item.relative}" cannot be the name of a file.'
            )


def _bytes(name: str) -> int:
    """How many bytes a name has on the disk; 0 for half of a character (a lone surrogate), which JSON can hold."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0


def _fetch(s3: Any, items: list[S3Object], folder: Path) -> None:
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
