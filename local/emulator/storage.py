"""S3 as the life cycles use it: implements `lifecycle.ports.Storage` over a boto3 client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator import channels
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
            channels.download(self._client, {**channel, "InputMode": "File"}, destination, channels.Share(host, hosts))
        except (channels.TransferFailed, NotImplementedHere) as error:
            raise StorageError(str(error)) from error

    def download(self, uri: str, destination: Path) -> None:
        """Fetch one object into the file. Raises StorageError."""
        try:
            channels.download_object(self._client, uri, destination)
        except channels.TransferFailed as error:
            raise StorageError(str(error)) from error

    def upload(self, path: Path, uri: str) -> None:
        """Write one file to s3://bucket/key. Raises StorageError."""
        try:
            channels.upload(self._client, path, uri)
        except channels.TransferFailed as error:
            raise StorageError(str(error)) from error
