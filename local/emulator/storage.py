"""S3 as the life cycles use it: implements `lifecycle.ports.Storage` over a boto3 client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emulator import channels, pipe_mode
from emulator.channel_objects import Share, TransferFailed
from emulator.errors import NotImplementedHere
from emulator.lifecycle.ports import StorageError


class S3Storage:
    """The S3 behind one client (LocalStack's, usually)."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def download_channel(self, channel: Mapping[str, Any], destination: Path, host: int = 0, hosts: int = 1) -> None:
        """Fill the folder with what this host gets of an element of InputDataConfig. Raises StorageError.

        FastFile is served as File: a program that opens files by their names sees no difference.
        """
        try:
            channels.download(self._client, {**channel, "InputMode": "File"}, destination, Share(host, hosts))
        except (TransferFailed, NotImplementedHere) as error:
            raise StorageError(str(error)) from error

    def stream_channel(self, channel: Mapping[str, Any], epoch: int, host: int = 0, hosts: int = 1) -> Iterator[bytes]:
        """What this host reads of the channel in Pipe mode, in that epoch, in chunks. Raises StorageError."""
        try:
            yield from pipe_mode.stream(self._client, channel, Share(host, hosts), epoch)
        except (TransferFailed, NotImplementedHere) as error:
            raise StorageError(str(error)) from error

    def download_prefix(self, uri: str, destination: Path) -> None:
        """Fetch all objects below a prefix that ends with a slash, if there are any. Raises StorageError."""
        try:
            channels.download_prefix(self._client, uri, destination)
        except TransferFailed as error:
            raise StorageError(str(error)) from error

    def download(self, uri: str, destination: Path) -> None:
        """Fetch one object into the file. Raises StorageError."""
        try:
            channels.download_object(self._client, uri, destination)
        except TransferFailed as error:
            raise StorageError(str(error)) from error

    def upload(self, path: Path, uri: str, kms_key_id: str = "") -> None:
        """Write one file to s3://bucket/key, encrypted with the key where one is named. Raises StorageError."""
        try:
            channels.upload(self._client, path, uri, kms_key_id)
        except TransferFailed as error:
            raise StorageError(str(error)) from error
