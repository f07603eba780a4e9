"""The life of the server: open the port, load the models behind it, answer, stop in order."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from http_service.server import Server as HttpServer
from model_server import memory, saved_models, universal_code
from model_server.application import Application, CatalogueApplication
from model_server.catalogue import Catalogue, LoadedModel
from model_server.errors import StartError
from model_server.grpc_server import GrpcServer
from model_server.handler_context import rest_server
from model_server.multi_model import MultiModel
from model_server.multi_model_application import MultiModelApplication
from model_server.saved_models import SavedModel
from model_server.settings import Settings
from model_server.user_code import UserCode

STOP_SECONDS = 10.0  # for requests under way; SageMaker kills a container 30 s after its SIGTERM
_FLUSH_SECONDS = 2.0  # for answers that are on their way

Load = Callable[[SavedModel], LoadedModel]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stop:
    """Why the server stops; without an error it was asked to."""

    error: Exception | None = None


class Server:
    """Serves the models of the settings' model directory; `load` turns each of them into a servable.

    In multi-model mode it serves those that it is told to load; `prepare` is called beforehand, behind the open port.
    """

    def __init__(self, settings: Settings, load: Load, prepare: Callable[[], object] = lambda: None) -> None:
        self._settings = settings
        self._load = load
        self._prepare = prepare
        self._catalogue = Catalogue()
        self._code = UserCode(settings.code_dir, expected=settings.universal_code is not None)
        self._stops: queue.SimpleQueue[Stop | None] = queue.SimpleQueue()  # None: everything is loaded

    def stop(self) -> None:
        """Ask the server to stop; may be called from a signal handler."""
        self._stops.put(Stop())

    def run(self) -> None:
        """Serve until `stop` is called. Raises StartError when port or models cannot be had."""
        models: tuple[SavedModel, ...] = ()
        application: Application
        ports, npy = self._settings.grpc_ports, self._settings.npy
        if self._settings.multi_model:
            multi_model = MultiModel(self._load, memory.available, self._settings.model_bytes)
            grpc = GrpcServer(multi_model.catalogue, ports)
            application = MultiModelApplication(multi_model, self._code, _access.info, grpc, npy=npy)
        else:
            models = self._find_models()
            grpc = GrpcServer(lambda _name: nullcontext(self._catalogue), ports)
            application = CatalogueApplication(self._catalogue, self._code, _access.info, grpc, npy=npy)
        http = self._open_port(application)
        application.address = rest_server(self._settings.host, http.port)
        http.start()
        _log.info("Listening on http://%s:%s", self._settings.host, http.port)
        # The thread dies with the process, which ends by __main__.
        threading.Thread(target=self._load_all, args=(models, grpc), name="load", daemon=True).start()
        try:
            self._wait_for_the_end()
            application.refuse()
            _log.info("Stopping: requests under way have %.0f s to end", STOP_SECONDS)
            if not application.wait_until_idle(STOP_SECONDS):
                _log.warning("Stopping although requests are under way")
            http.stop(_FLUSH_SECONDS)
        finally:
            grpc.stop()
            self._code.close()
        _log.info("Stopped")

    def _wait_for_the_end(self) -> None:
        """Wait for `stop`. Raises StartError when the models cannot be loaded, or not in the time they have."""
        try:
            stop = self._stops.get(timeout=self._settings.wait_seconds)
        except queue.Empty:
            raise StartError(
                f"Nothing was ready to serve {self._settings.wait_seconds} s after the start, which is all the time "
                "that SAGEMAKER_TFS_WAIT_TIME_SECONDS gives"
            ) from None
        if stop is None:
            stop = self._stops.get()
        if stop is None or stop.error is None:
            return
        if isinstance(stop.error, StartError):
            raise stop.error
        raise StartError(f"Loading failed: {type(stop.error).__name__}: {stop.error}") from stop.error

    def _find_models(self) -> tuple[SavedModel, ...]:
        model_dir = self._settings.model_dir
        models = saved_models.find(model_dir)
        names = list(dict.fromkeys(model.name for model in models))
        default = self._settings.default_model_name or names[0]
        if default not in names:
            raise StartError(
                f"SAGEMAKER_TFS_DEFAULT_MODEL_NAME={default!r} is no model in {model_dir}; "
                f"there are: {', '.join(names)}"
            )
        self._catalogue.expect(models, default)
        _log.info("Default model: %s", default)
        return models

    def _open_port(self, application: Application) -> HttpServer:
        settings = self._settings
        try:
            return HttpServer(application, settings.host, settings.port)
        except OSError as error:
            raise StartError(f"Cannot listen on {settings.host}:{settings.port}: {error}") from error

    def _load_all(self, models: tuple[SavedModel, ...], grpc: GrpcServer) -> None:
        try:
            if self._settings.universal_code is not None:
                universal_code.fetch(*self._settings.universal_code, self._settings.code_dir)
            self._code.install()
            if self._settings.multi_model:
                self._prepare()
            for model in models:
                start = time.monotonic()
                servable = self._load(model)
                self._catalogue.add(model, servable)
                _log.info(
                    "Loaded model %s version %d in %.1f s, signatures: %s",
                    model.name,
                    model.version,
                    time.monotonic() - start,
                    ", ".join(servable.signatures) or "none",
                )
            if self._code.exists:
                grpc.start()  # or else the first request would wait for it
            self._code.load()
            if self._settings.npy and self._code.exists:
                _log.info("MODEL_SERVER_NPY has no meaning for what inference.py answers: it gets every body as it is")
            self._stops.put(None)
            _log.info("Ready")
        except Exception as error:  # noqa: BLE001 - handed to the main thread, which raises it
            self._stops.put(Stop(error))


_access = logging.getLogger("model_server.access")
