"""What a training job's hosts find at their start: the tree of /opt/ml, the data of their channels, checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from emulator import opt_ml
from emulator.lifecycle import training_request as request
from emulator.lifecycle.ports import Services, Storage, StorageError
from emulator.lifecycle.training_checkpoints import Checkpoints
from emulator.lifecycle.training_pipes import Pipe
from emulator.store.port import Resource


class Inputs:
    """The inputs of one attempt of a job, below `base`, a folder a host."""

    def __init__(self, services: Services, job: Resource, base: Path) -> None:
        self._services = services
        self._job = job
        self._bases = {name: base / name for name in request.hosts(job)}
        self._pipes: list[Pipe] = []
        self.checkpoints: Checkpoints | None = None

    def write_trees(self) -> None:
        """The folders and the files of input/config."""
        for name, base in self._bases.items():
            spec = request.training_spec(self._job, name, self._services.engine.network_interface)
            opt_ml.write_training_tree(base, spec)

    def fetch(self, between: Callable[[], None]) -> None:
        """The data of File mode and the checkpoints; `between` is called between two steps. Raises StorageError."""
        storage = self._services.storage
        for channel in request.channels(self._job):
            if channel["InputMode"] != "Pipe":
                folders = [base / "input" / "data" / channel["ChannelName"] for base in self._bases.values()]
                _download(storage, channel, folders, between)
        between()
        wanted = request.checkpoints(self._job)
        if wanted is not None:
            uri, local = wanted
            folders = [base / local for base in self._bases.values()]
            self.checkpoints = Checkpoints(storage, self._services.clock, uri, folders)
            self.checkpoints.fetch()

    def begin(self, failed: Callable[[], None]) -> None:
        """What goes on while the containers run; `failed` is called when the data of a pipe cannot be had."""
        for channel in request.channels(self._job):
            if channel["InputMode"] == "Pipe":
                for number, base in enumerate(self._bases.values()):
                    epoch = partial(_epoch, self._services.storage, channel, number, len(self._bases))
                    self._pipes.append(Pipe(base / "input" / "data", channel["ChannelName"], epoch, failed))
        for pipe in self._pipes:
            pipe.begin()
        if self.checkpoints is not None:
            self.checkpoints.begin(self._services.checkpoint_seconds)

    def pipe_error(self) -> StorageError | None:
        """Why the data of a pipe could not be had, if that is so."""
        return next((pipe.error for pipe in self._pipes if pipe.error is not None), None)

    def finish(self) -> StorageError | None:
        """No container runs any more: end the pipes, and store the last checkpoints; what went wrong with these."""
        for pipe in self._pipes:
            pipe.close()
        if self.checkpoints is not None:
            try:
                self.checkpoints.finish()
            except StorageError as error:
                return error
        return None


def _download(
    storage: Storage, channel: Mapping[str, Any], folders: Sequence[Path], between: Callable[[], None]
) -> None:
    """Fill the channel's folder of each host: with its share, or with the same, which is fetched once."""
    source = channel["DataSource"]["S3DataSource"]
    for number, folder in enumerate(folders):
        between()
        if number and source.get("S3DataDistributionType") != "ShardedByS3Key":
            shutil.copytree(folders[0], folder, dirs_exist_ok=True)
        else:
            storage.download_channel(channel, folder, number, len(folders))


def _epoch(storage: Storage, channel: Mapping[str, Any], host: int, hosts: int, number: int) -> Iterator[bytes]:
    return storage.stream_channel(channel, number, host, hosts)
