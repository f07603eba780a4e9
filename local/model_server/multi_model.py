"""Multi-model mode: models that are loaded and unloaded while the server runs, each from a folder of its own.

The contract is AWS's "Custom Containers Contract for Multi-Model Endpoints".
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from model_server import saved_models, user_code
from model_server.catalogue import Catalogue, LoadedModel
from model_server.errors import (
    BadInputError,
    LoadedAlreadyError,
    ModelServerError,
    NotFoundError,
    OutOfMemoryError,
    RequestError,
    StartError,
)
from model_server.handlers import Handler
from model_server.saved_models import SavedModel

Load = Callable[[SavedModel], LoadedModel]
_log = logging.getLogger(__name__)


@dataclass
class Model:
    """The folder it was loaded from, the SavedModels that were there, and its own handlers, if it has any."""

    url: str
    size: int  # bytes of its files
    catalogue: Catalogue = field(default_factory=Catalogue)
    servables: list[LoadedModel] = field(default_factory=list)
    handler: Handler | None = None
    ready: bool = False
    leaving: bool = False  # only the handlers of its invocations that are under way may still ask it something
    uses: int = 0
    invocations: int = 0  # of the uses


class MultiModel:
    """The models by the names that SageMaker gives them; safe for many threads."""

    def __init__(self, load: Load, available: Callable[[], int], limit: int = 0) -> None:
        """`available` says how many bytes of memory are left; `limit`, unless 0, what the models' files may take."""
        self._load = load
        self._available = available
        self._limit = limit
        self._most = 0  # bytes of all models' files when they were the most
        self._models: dict[str, Model] = {}
        self._changed = threading.Condition()

    def load(self, name: str, url: str) -> None:
        """Load what is in the folder. Raises LoadedAlreadyError, OutOfMemoryError, NotFoundError, or RequestError."""
        folder = Path(url)
        if not folder.is_absolute():
            raise BadInputError(f"url must be the absolute path of a model's folder, not {url!r}")
        if not folder.is_dir():
            raise NotFoundError(f"Could not find base path {url} for servable {name}")
        model = Model(url, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        with self._changed:
            self._changed.wait_for(lambda: name not in self._models or not self._models[name].leaving)
            if name in self._models:
                raise LoadedAlreadyError(f"Model {name} is already loaded.")
            self._check_memory(model)
            self._models[name] = model
        start = time.monotonic()
        failure: RequestError | None = None
        try:
            self._fill(model, name, folder)
        except BaseException as error:  # noqa: BLE001 - whatever a damaged file makes TensorFlow raise
            failure = _as_request_error(error, name)
        if failure is not None:  # here, where the error's traceback does not hold the model any more
            with self._changed:
                del self._models[name]
            _close(model)
            del model
            gc.collect()
            raise failure
        with self._changed:
            model.ready = True
            self._most = max(self._most, self._loaded(ready=True))
        _log.info("Loaded model %s from %s in %.1f s", name, url, time.monotonic() - start)

    def unload(self, name: str) -> None:
        """Forget it at once, and give its memory back when nobody uses it any more. Raises NotFoundError."""
        _close(self._take_out(name))
        gc.collect()  # a graph of TensorFlow's is a cycle
        _log.info("Unloaded model %s", name)

    def describe(self, name: str) -> dict[str, str]:
        """The model as the contract shows it. Raises NotFoundError."""
        with self._changed:
            return {"modelName": name, "modelUrl": self._find(name).url}

    def list(self) -> list[dict[str, str]]:
        """All that are loaded, in the order they were."""
        with self._changed:
            models = self._models.items()
            return [{"modelName": name, "modelUrl": m.url} for name, m in models if m.ready and not m.leaving]

    @contextmanager
    def use(self, name: str, *, even_leaving: bool = False) -> Iterator[Model]:
        """The model of that name, which stays loaded during the block. Raises NotFoundError.

        `even_leaving`: also one that is being unloaded, as long as a use without this is under way: none of those
        begins then, so that it ends.
        """
        with self._changed:
            model = self._find(name, even_leaving=even_leaving)
            model.uses += 1
            model.invocations += not even_leaving
        try:
            yield model
        finally:
            with self._changed:
                model.uses -= 1
                model.invocations -= not even_leaving
                self._changed.notify_all()

    @contextmanager
    def catalogue(self, name: str) -> Iterator[Catalogue]:
        """What is loaded under that name, also while it is being unloaded: for its handlers. Raises NotFoundError."""
        with self.use(name, even_leaving=True) as model:
            yield model.catalogue

    def _find(self, name: str, *, even_leaving: bool = False) -> Model:
        model = self._models.get(name)
        if model is None or not model.ready or (model.leaving and not (even_leaving and model.invocations)):
            raise NotFoundError(f"Model {name} is not loaded")
        return model

    def _take_out(self, name: str) -> Model:
        with self._changed:
            model = self._find(name)
            model.leaving = True
            self._changed.wait_for(lambda: not model.uses)
            del self._models[name]
            self._changed.notify_all()
        return model

    def _check_memory(self, model: Model) -> None:
        loaded = self._loaded()
        if self._limit and loaded + model.size > self._limit:
            raise OutOfMemoryError(
                f"Memory exhausted: {model.size} bytes of this model and {loaded} of those that are loaded are more "
                f"than the {self._limit} of MODEL_SERVER_MODEL_BYTES"
            )
        # The memory of models that were unloaded stays in pools of the process (oneDNN's allocator), and is where the
        # next ones go. To Linux it is used. What those that are loading will take, it cannot know.
        ready = self._loaded(ready=True)
        available = max(0, self._available() + max(0, self._most - ready) - (loaded - ready))
        if model.size > available:
            raise OutOfMemoryError(f"Memory exhausted: {available} bytes are left, the model has {model.size}")

    def _loaded(self, *, ready: bool = False) -> int:
        """Bytes of all models' files; `ready`: without those that are loading."""
        return sum(model.size for model in self._models.values() if model.ready or not ready)

    def _fill(self, model: Model, name: str, folder: Path) -> None:
        found = saved_models.find(folder)
        # To TensorFlow Serving, and so below /v1/models, the model has the name that it is loaded under.
        named = tuple(replace(saved, name=name) for saved in found if saved.name == found[0].name)
        if len(named) < len(found):
            raise BadInputError(
                f"{folder} holds several models ({', '.join(dict.fromkeys(saved.name for saved in found))}); in "
                "multi-model mode each is an archive of its own"
            )
        model.catalogue.expect(named, name)
        for saved in named:
            servable = self._load(saved)
            model.servables.append(servable)
            model.catalogue.add(saved, servable)
        model.handler = user_code.of_model(folder)


def _close(model: Model) -> None:
    for servable in model.servables:
        servable.close()


def _as_request_error(error: BaseException, name: str) -> RequestError:
    """What a load that failed is answered with."""
    cause = error.__cause__ if isinstance(error, StartError) else error
    if isinstance(cause, MemoryError) or type(cause).__name__ == "ResourceExhaustedError":  # the latter is TensorFlow's
        return OutOfMemoryError(f"Memory exhausted while model {name} was loaded: {error}")
    what = "" if isinstance(error, ModelServerError) else f"{type(error).__name__}: "
    return RequestError(f"Model {name} cannot be loaded: {what}{error}")
