"""What the life cycles need from outside besides the store and the engine: storage, logs; and the record of it all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emulator.account import Account
from emulator.clock import Clock
from emulator.engine.port import Engine
from emulator.store.port import Store


class StorageError(Exception):
    """S3 refused, or what was asked for is not there; the message says which, and is shown to the user."""


class Storage(Protocol):
    """S3, as the life cycles use it. Every method raises StorageError."""

    def download_channel(self, channel: Mapping[str, Any], destination: Path, host: int = 0, hosts: int = 1) -> None:
        """Fill the folder with what that host (0, 1, …) of so many gets of an element of InputDataConfig."""

    def stream_channel(self, channel: Mapping[str, Any], epoch: int, host: int = 0, hosts: int = 1) -> Iterator[bytes]:
        """What that host reads of the channel in Pipe mode, in that epoch (0, 1, …), in chunks."""

    def download_prefix(self, uri: str, destination: Path) -> None:
        """Fetch all objects below a prefix that ends with a slash, if there are any, into the folder."""

    def download(self, uri: str, destination: Path) -> None:
        """Fetch one object into the file."""

    def upload(self, path: Path, uri: str, kms_key_id: str = "") -> None:
        """Write one file to s3://bucket/key, encrypted with the key where one is named."""


class LogStream(Protocol):
    """Where the lines of one container go. A failure never reaches the caller."""

    def write(self, line: str) -> None:
        """Add a line, without its newline; returns at once."""

    def flush(self, seconds: float) -> None:
        """Wait, at most that long, until everything written so far can be read."""


class Logs(Protocol):
    """CloudWatch Logs, as the life cycles use it."""

    def open(self, group: str, stream: str) -> LogStream:
        """The stream of that name; group and stream are made when the first line is written."""


@dataclass(frozen=True)
class Services:
    """What every life cycle works with."""

    store: Store
    engine: Engine
    storage: Storage
    logs: Logs
    clock: Clock
    account: Account
    work_dir: Path  # the trees that are /opt/ml live here, one folder a job or endpoint, until it ends
    environment: Mapping[str, str]  # what every container gets: endpoint URL, credentials, region
    training_grace_seconds: float = 120.0  # between SIGTERM and SIGKILL, as on AWS
    peer_grace_seconds: float = 10.0  # the same for the other hosts when one has failed
    checkpoint_seconds: float = 1.0  # between two looks at what a job has written for its CheckpointConfig
    serving_grace_seconds: float = 10.0
    shutdown_grace_seconds: float = 5.0  # the same when the emulator itself ends
