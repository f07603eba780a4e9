"""What a handler of inference.py is told of its request: the fields of AWS's container, in its order."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from model_server import custom_attributes

_JSON = "application/json"


class GrpcClient(Protocol):
    """How a handler speaks gRPC with the server."""

    @property
    def port(self) -> str:
        """On which it listens, on loopback."""

    @property
    def channel(self) -> Any:
        """An open grpc.Channel to it, for all handlers."""


class Context(NamedTuple):
    """The second argument of a handler; a named tuple, as the container's (tfs_utils.py in its sources).

    model_name, model_version and method are what the request's attributes say, or None: AWS fills in its defaults in
    rest_uri only. In multi-model mode model_name is the model's, the port a number, and no channel is handed out.
    """

    model_name: str | None
    model_version: str | None
    method: str | None
    rest_uri: str
    grpc_port: str | int
    channel: Any  # grpc.Channel, or None
    custom_attributes: str | None
    request_content_type: str
    accept_header: str
    content_length: int


@dataclass(frozen=True)
class Asked:
    """A request, as far as its handler is told of it; None where it has no such header."""

    custom_attributes: str | None
    content_type: str | None
    accept: str | None
    content_length: int

    def context(self, server: str, grpc: GrpcClient, default_model: str, model: str | None = None) -> Context:
        """The context for a server at that address (`rest_server`); `model` is given in multi-model mode."""
        attributes = custom_attributes.values(self.custom_attributes)
        version = attributes.get(custom_attributes.MODEL_VERSION)
        method = attributes.get(custom_attributes.METHOD)
        name = model or attributes.get(custom_attributes.MODEL_NAME)
        path = f"/v1/models/{quote(name or default_model, safe='')}"
        if version:
            path += f"/versions/{quote(version, safe='')}"
        return Context(
            model_name=name,
            model_version=version,
            method=method,
            rest_uri=f"{server}{path}:{quote(method or 'predict', safe='')}",
            grpc_port=int(grpc.port) if model else grpc.port,
            channel=None if model else grpc.channel,
            custom_attributes=self.custom_attributes,
            request_content_type=self.content_type or _JSON,
            accept_header=self.accept or _JSON,
            content_length=self.content_length,
        )


def rest_server(host: str, port: int) -> str:
    """The URL, without a path, by which a handler reaches the server that listens there."""
    try:
        address = ip_address(host)
    except ValueError:  # a name
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}" if address.version == 4 else f"http://[::1]:{port}"
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"
