"""The port of TensorFlow Serving's gRPC API that a handler's context names: on loopback, for handlers, as on AWS."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model_server import grpc_services
from model_server.errors import StartError
from model_server.grpc_services import Use

_HOST = "127.0.0.1"
_THREADS = 64  # requests at once; what comes besides waits, as for one of TensorFlow Serving's own

_log = logging.getLogger(__name__)


class GrpcServer:
    """Listens when it is first needed: few models bring handlers, and fewer of these speak gRPC."""

    def __init__(self, use: Use, ports: range) -> None:
        """`use` gives the catalogue of a model by name; `ports` are what it may listen on, 0 is any that is free."""
        self._use = use
        self._ports = ports
        self._lock = threading.Lock()
        self._server: Any = None
        self._port = 0
        self._channel: Any = None

    @property
    def port(self) -> str:
        """On which it listens. Raises StartError."""
        self.start()
        return str(self._port)

    @property
    def channel(self) -> Any:
        """An open grpc.Channel to it, with gRPC's own limits, as AWS's container makes it. Raises StartError."""
        self.start()
        return self._channel

    def start(self) -> None:
        """Listen, unless it does already; TensorFlow must be imported. Raises StartError."""
        with self._lock:
            if self._server is None:
                self._start()

    def stop(self) -> None:
        """End it, and whatever is under way."""
        with self._lock:
            if self._server is not None:
                self._channel.close()
                self._server.stop(None)

    def _start(self) -> None:
        import grpc  # takes a while, and most servers need neither it nor the protos

        # As with TensorFlow Serving, a message may have any size; and no two servers share a port, as Linux lets them.
        options = [(f"grpc.max_{way}_message_length", -1) for way in ("receive", "send")] + [("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(_THREADS, "grpc"), options=options)
        grpc_services.add(server, self._use)
        self._port = self._listen(server)
        server.start()
        # Whatever proxy the environment names is not for loopback.
        self._channel = grpc.insecure_channel(f"{_HOST}:{self._port}", options=[("grpc.enable_http_proxy", 0)])
        self._server = server
        _log.info("gRPC, for handlers, is listening on %s:%s", _HOST, self._port)

    def _listen(self, server: Any) -> int:
        reason: Exception | None = None
        for port in self._ports:
            try:
                bound: int = server.add_insecure_port(f"{_HOST}:{port}")
            except RuntimeError as error:
                reason = error
                continue
            return bound
        raise StartError(
            f"gRPC cannot listen on any port from {self._ports.start} to {self._ports.stop - 1} of {_HOST} "
            f"(SAGEMAKER_SAFE_PORT_RANGE): {reason}"
        )
