"""Builds through the daemon, so that a build can be given up, and says in its own words why one failed."""

from __future__ import annotations

import io
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import Any

from docker.errors import DockerException
from requests import RequestException

from emulator.engine.docker_errors import ERRORS
from emulator.engine.docker_labels import NAME, PROJECT, STAGE
from emulator.engine.inherited import proxies

LAST_LINES = 15  # of the build's output, in an error
POLL_SECONDS = 0.2


class BuildFailed(Exception):
    """The image could not be built; the message has the end of the build's output."""


class Builder:
    """Builds of one daemon."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Give up what is being built, from any thread: the daemon ends it when this process does."""
        self.stopped.set()

    def raise_if_stopped(self) -> None:
        """Raises BuildFailed when what is being built was given up."""
        if self.stopped.is_set():
            raise BuildFailed("the building of images was stopped")

    def build(self, context: bytes, *, dockerfile: str, tag: str, base: str) -> None:
        """Build an image from a context (a tar) and name it. Raises BuildFailed."""
        said: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()

        def read() -> None:
            try:
                for message in self._client.api.build(
                    fileobj=io.BytesIO(context),
                    custom_context=True,
                    dockerfile=dockerfile,
                    tag=tag,
                    buildargs={"BASE": base, **proxies()},  # proxies: known to every Dockerfile, kept in no layer
                    labels={PROJECT: NAME},
                    network_mode="host",  # a build needs the package index by whatever way this machine has
                    rm=True,
                    forcerm=True,
                    decode=True,
                    timeout=None,
                ):
                    said.put(message)
                said.put(None)
            except (DockerException, RequestException, OSError) as error:
                said.put(error)

        threading.Thread(target=read, name=f"build {tag}", daemon=True).start()
        last: deque[str] = deque(maxlen=LAST_LINES)
        while True:
            self.raise_if_stopped()
            try:
                message = said.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if message is None:
                break
            if isinstance(message, Exception) or "error" in message:
                why = message if isinstance(message, Exception) else message["error"]
                raise BuildFailed(f"{tag}: its image could not be built: {why}\n" + "\n".join(last))
            last += [line for line in message.get("stream", "").splitlines() if line.strip()]
        # Of the layers that only building needed, the ones of an older definition would stay for ever.
        with suppress(*ERRORS):  # somebody else prunes, or the daemon is busy: the next build does it
            self._client.images.prune(filters={"dangling": True, "label": f"{STAGE}=builder"})
