"""The models of one multi-model instance: fetched and loaded when a request names them, unloaded when memory is out."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emulator.engine.instance_types import resources
from emulator.engine.port import Work
from emulator.lifecycle.container_http import ModelServer
from emulator.lifecycle.model_data import MODELS, fetch_one
from emulator.lifecycle.ports import Storage, StorageError
from emulator.lifecycle.serving import ServingContainer
from emulator.lifecycle.target import Lease, ModelNotLoaded
from emulator.opt_ml import BadArchive

LOADED_ALREADY = 409  # as the contract has it
OUT_OF_MEMORY = 507


def model_name(target_model: str) -> str:
    """What containers know a TargetModel by: SageMaker's is a hash as well, "an opaque identifier"."""
    return hashlib.sha256(target_model.encode()).hexdigest()[:32]


@dataclass
class _Loaded:
    """A model that the container holds."""

    size: int  # bytes of its files
    folder: Path
    uses: int = 0  # invocations under way


class ModelCache:
    """Safe to use from several threads; of requests for one model that is not there, one loads it and all wait."""

    def __init__(
        self, storage: Storage, http: ModelServer, container: ServingContainer, prefix: str, work: Work
    ) -> None:
        """`prefix` is where the models are in S3."""
        self._storage, self._http, self._container = storage, http, container
        self.prefix = prefix
        self._base = work.base_dir
        limit = resources(work.instance_type)
        self._limit = limit.memory_bytes if limit else None
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()  # by TargetModel, the least recently used first
        self._loading: dict[str, Future[None]] = {}
        self._starts = 0

    def has(self, target_model: str) -> bool:
        """Whether it is loaded."""
        return target_model in self._loaded

    def load(self, target_model: str, lease: Lease) -> None:
        """Have it loaded, and keep it so until the lease is released. Raises ModelNotLoaded."""
        while True:
            with self._lock:
                self._forget_the_dead()
                loaded = self._loaded.get(target_model)
                if loaded is not None:
                    self._loaded.move_to_end(target_model)
                    loaded.uses += 1
                    lease.also(partial(self._done, loaded))
                    return
                others = self._loading.get(target_model)
                mine: Future[None] = Future()
                if others is None:
                    self._loading[target_model] = mine
            if others is not None:
                error = others.exception()
                if error is not None:
                    raise ModelNotLoaded(str(error), getattr(error, "status", 0)) from error
                continue
            try:
                found = self._load(target_model)
            except BaseException as error:
                with self._lock:
                    del self._loading[target_model]
                mine.set_exception(error)
                raise
            with self._lock:
                found.uses += 1
                self._loaded[target_model] = found
                del self._loading[target_model]
            lease.also(partial(self._done, found))
            mine.set_result(None)
            return

    def _load(self, target_model: str) -> _Loaded:
        name = model_name(target_model)
        folder = self._base / MODELS / name / "model"
        shutil.rmtree(folder.parent, ignore_errors=True)
        try:
            self._fetch(target_model, folder)
            found = _Loaded(sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file()), folder.parent)
            while self._limit is not None and self._size() + found.size > self._limit:
                if not self._unload_one():
                    break  # the container itself will say what it can hold
            self._tell(name, f"{self._container.base_dir}/{MODELS}/{name}/model")
        except BaseException:
            shutil.rmtree(folder.parent, ignore_errors=True)
            raise
        return found

    def _fetch(self, target_model: str, folder: Path) -> None:
        uri = self.prefix + target_model.lstrip("/")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            fetch_one(self._storage, uri, folder)
        except StorageError as error:
            # AWS's own text.
            raise ModelNotLoaded(
                f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object "
                "located at the URL and that the role passed to CreateModel has permissions to download the model."
            ) from error
        except OSError as error:
            raise ModelNotLoaded(f"The model {target_model} cannot be stored here: {error}") from error
        except BadArchive as error:
            raise ModelNotLoaded(f"Failed to extract model data archive from URL {uri}: {error}") from error

    def _tell(self, name: str, url: str) -> None:
        while True:
            reply = self._http.load(self._container.address or "", name, url)
            if 200 <= reply.status < 300 or reply.status == LOADED_ALREADY:
                return
            if reply.status != OUT_OF_MEMORY or not self._unload_one():
                raise ModelNotLoaded(reply.message, reply.status)

    def _unload_one(self) -> bool:
        """Unload the model that was not used for the longest time and is not in use; False when there is none."""
        with self._lock:
            idle = next((key for key, loaded in self._loaded.items() if not loaded.uses), None)
            if idle is None:
                return False
            loaded = self._loaded.pop(idle)
            # Whoever wants it from now on loads it again, and waits until it is gone.
            gone = self._loading[idle] = Future()
        self._http.unload(self._container.address or "", model_name(idle))
        shutil.rmtree(loaded.folder, ignore_errors=True)
        with self._lock:
            del self._loading[idle]
        gone.set_result(None)
        return True

    def _done(self, loaded: _Loaded) -> None:
        with self._lock:
            loaded.uses -= 1

    def _size(self) -> int:
        with self._lock:
            return sum(loaded.size for loaded in self._loaded.values())

    def _forget_the_dead(self) -> None:
        """A container that was started again holds nothing of what its predecessor held."""
        if self._starts != self._container.starts:
            self._starts = self._container.starts
            self._loaded.clear()
