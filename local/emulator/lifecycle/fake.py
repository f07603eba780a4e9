"""Storage, logs and health checks that only seem to be: for tests of the life cycles and of what is above them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emulator.lifecycle.container_http import Reply
from emulator.lifecycle.ports import StorageError


class FakeStorage:
    """Objects in a dictionary by URI. A URI in `broken` can be neither read nor written."""

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.broken: set[str] = set()
        self.keys: dict[str, str] = {}  # KMS keys by URI

    def _share(self, channel: Mapping[str, Any], host: int, hosts: int) -> list[str]:
        """The URIs below the channel's, or every `hosts`-th."""
        source = channel["DataSource"]["S3DataSource"]
        prefix = source["S3Uri"]
        found = sorted(uri for uri in self.objects if uri.startswith(prefix))
        if not found:
            raise StorageError(f'No S3 objects found under S3 URL "{prefix}" given in input data source.')
        return found[host::hosts] if source.get("S3DataDistributionType") == "ShardedByS3Key" else found

    def download_channel(self, channel: Mapping[str, Any], destination: Path, host: int = 0, hosts: int = 1) -> None:
        """Every object below the channel's URI, or every `hosts`-th, as a file of its last name."""
        for uri in self._share(channel, host, hosts):
            self.download(uri, destination / uri.rpartition("/")[2])

    def stream_channel(self, channel: Mapping[str, Any], epoch: int, host: int = 0, hosts: int = 1) -> Iterator[bytes]:
        """The same objects, one after the other, in every epoch."""
        for uri in self._share(channel, host, hosts):
            if uri in self.broken:
                raise StorageError(f"{uri}: Not Found")
            yield self.objects[uri]

    def download_prefix(self, uri: str, destination: Path) -> None:
        """The objects below it."""
        if uri in self.broken:
            raise StorageError(f"{uri}: The specified bucket does not exist")
        for found in [found for found in self.objects if found.startswith(uri)]:
            path = destination / found.removeprefix(uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.download(found, path)

    def download(self, uri: str, destination: Path) -> None:
        """One object into the file."""
        if uri in self.broken or uri not in self.objects:
            raise StorageError(f"{uri}: Not Found")
        destination.write_bytes(self.objects[uri])

    def upload(self, path: Path, uri: str, kms_key_id: str = "") -> None:
        """Keep what is in the file, and the name of the key."""
        if uri in self.broken:
            raise StorageError(f"{uri}: The specified bucket does not exist")
        self.objects[uri] = path.read_bytes()
        self.keys[uri] = kms_key_id


class FakeLogs:
    """The lines by group and stream, and which of them were flushed."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[str]] = {}
        self.flushed: dict[tuple[str, str], int] = {}

    def open(self, group: str, stream: str) -> FakeLogStream:
        """The stream of that name."""
        self.lines.setdefault((group, stream), [])
        return FakeLogStream(self, (group, stream))


class FakeLogStream:
    """Where the lines of one container go."""

    def __init__(self, logs: FakeLogs, key: tuple[str, str]) -> None:
        self._logs, self._key = logs, key

    def write(self, line: str) -> None:
        """Keep it."""
        self._logs.lines[self._key].append(line)

    def flush(self, seconds: float) -> None:
        """Remember how many lines there were."""
        self._logs.flushed[self._key] = len(self._logs.lines[self._key])


class FakeHealth:
    """Healthy after that many pings, unless `healthy` is set to False, or the address is put into `sick`."""

    def __init__(self, after: int = 1) -> None:
        self._after = after
        self._lock = threading.Lock()
        self.pings = 0
        self.healthy = True
        self.sick: set[str] = set()

    def ping(self, address: str) -> bool:
        """Whether it has been asked often enough."""
        with self._lock:
            self.pings += 1
            return self.healthy and address not in self.sick and self.pings >= self._after


class FakeModelServer:
    """A multi-model container that holds at most `room` models; `refuse` makes it answer that to every load."""

    def __init__(self, room: int = 1000) -> None:
        self._room = room
        self._lock = threading.Lock()
        self.models: dict[str, str] = {}  # the folder by name
        self.loads: list[str] = []  # names, in the order they were asked for
        self.refuse: Reply | None = None

    def load(self, address: str, name: str, url: str) -> Reply:
        """Take the model in, where there is room."""
        with self._lock:
            self.loads.append(name)
            if self.refuse is not None:
                return self.refuse
            if name in self.models:
                return Reply(409, "loaded already")
            if len(self.models) >= self._room:
                return Reply(507, "no room")
            self.models[name] = url
            return Reply(200, "")

    def unload(self, address: str, name: str) -> Reply:
        """Drop it."""
        with self._lock:
            return Reply(404, "") if self.models.pop(name, None) is None else Reply(200, "")
