"""Data capture: what goes into an endpoint and comes out of it, as lines of JSON in S3, written behind its back.

Layout and form are those of "Capture data" in SageMaker's developer guide:
PREFIX/ENDPOINT/VARIANT/yyyy/mm/dd/hh/mm-ss-ms-UUID.jsonl, a line an invocation.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.lifecycle.objects import Object, Objects
from emulator.lifecycle.ports import StorageError

_LOG = logging.getLogger(__name__)
FLUSH_SECONDS = 2.0
_MOST_BYTES = 64 * 1024 * 1024  # held while S3 takes none; what comes beyond is not captured


@dataclass(frozen=True)
class Side:
    """One direction of an invocation."""

    data: bytes
    content_type: str


@dataclass(frozen=True)
class Captured:
    """One invocation."""

    config: Mapping[str, Any]  # DataCaptureConfig
    endpoint: str
    variant: str
    time: datetime
    input: Side
    output: Side
    inference_id: str | None = None
    custom_attributes: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.input.data) + len(self.output.data) + 500

    def folder(self) -> str:
        """Where its file belongs."""
        prefix = self.config["DestinationS3Uri"].rstrip("/")
        return f"{prefix}/{self.endpoint}/{self.variant}/{self.time:%Y/%m/%d/%H}"

    def line(self) -> str:
        """As Model Monitor reads it."""
        modes = {option["CaptureMode"] for option in self.config["CaptureOptions"]}
        data = {}
        for key, mode, side in (("endpointInput", "Input", self.input), ("endpointOutput", "Output", self.output)):
            if modes & {mode, "InputAndOutput"}:
                data[key] = self._side(mode.upper(), side)
        metadata: dict[str, Any] = {"eventId": str(uuid.uuid4())}
        if self.inference_id is not None:
            metadata["inferenceId"] = self.inference_id
        if self.custom_attributes:
            metadata["customAttributes"] = [self.custom_attributes]
        metadata["inferenceTime"] = f"{self.time:%Y-%m-%dT%H:%M:%SZ}"
        return json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}, ensure_ascii=False)

    def _side(self, mode: str, side: Side) -> dict[str, str]:
        encoding = self._encoding(side.content_type)
        try:
            text = base64.b64encode(side.data).decode() if encoding == "BASE64" else side.data.decode("utf-8")
        except UnicodeDecodeError:  # it is not what its type says
            encoding, text = "BASE64", base64.b64encode(side.data).decode()
        return {"observedContentType": side.content_type, "mode": mode, "data": text, "encoding": encoding}

    def _encoding(self, content_type: str) -> str:
        """By CaptureContentTypeHeader; BASE64 for what is not named there, as the API's reference says."""
        named = self.config.get("CaptureContentTypeHeader", {})
        plain = content_type.partition(";")[0].strip().lower()
        if plain in (each.lower() for each in named.get("CsvContentTypes", ())):
            return "CSV"
        if plain in (each.lower() for each in named.get("JsonContentTypes", ())):
            return "JSON"
        return "BASE64"


class Capture:
    """Collects what is captured and writes it every two seconds; no failure of S3 reaches an invocation."""

    def __init__(self, objects: Objects, choose: Callable[[], float] = random.random) -> None:
        """`choose` (0 <= x < 1) picks the sample."""
        self._objects = objects
        self._choose = choose
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._waiting: list[Captured] = []
        self._size = self._held = 0  # with what is being written
        self._closing = False
        self._thread: threading.Thread | None = None
        self._complained = False

    def wants(self, config: Mapping[str, Any] | None) -> bool:
        """Whether the next invocation of an endpoint with that DataCaptureConfig is to be captured."""
        if config is None or not config.get("EnableCapture", True):
            return False
        return bool(self._choose() * 100 < config["InitialSamplingPercentage"])

    def add(self, captured: Captured) -> None:
        """Take one; returns at once. After `close`, too: requests are answered a little longer than that."""
        with self._changed:
            if self._size + captured.size > _MOST_BYTES:
                self._complain("more is captured than S3 takes; some invocations are not")
                return
            self._waiting.append(captured)
            self._size += captured.size
            self._held += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="data capture", daemon=True)
                self._thread.start()

    def close(self, seconds: float) -> None:
        """Write what is left, within that time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(max(0.0, seconds))
            if thread.is_alive():
                _LOG.warning("Data capture: %d captured invocations are not written yet", self._held)

    def flush(self) -> int:
        """Write what was captured so far; how many could not be written, and are kept."""
        with self._writing:
            with self._changed:
                taken, self._waiting = self._waiting, []
            left = self._write(taken)
            with self._changed:
                self._waiting = left + self._waiting
                self._size = sum(each.size for each in self._waiting)
                self._held = len(self._waiting)
            return len(left)

    def _run(self) -> None:
        while True:
            with self._changed:
                closing = self._changed.wait_for(lambda: self._closing, FLUSH_SECONDS)
            left = self.flush()
            if closing and self._ended(left):
                return

    def _ended(self, lost: int) -> bool:
        """Whether nothing came while the last was written; who comes later starts a thread again."""
        if lost:
            _LOG.warning("Data capture: %d captured invocations are lost", lost)
        with self._changed:
            del self._waiting[:lost]
            self._size = sum(each.size for each in self._waiting)
            self._held = len(self._waiting)
            if not self._waiting:
                self._thread = None
            return not self._waiting

    def _write(self, taken: list[Captured]) -> list[Captured]:
        """Write all of it; what could not be written."""
        files: dict[str, list[Captured]] = {}
        for captured in taken:
            files.setdefault(captured.folder(), []).append(captured)
        left: list[Captured] = []
        for folder, together in files.items():
            first = together[0].time
            name = f"{first:%M-%S}-{first.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
            content = "".join(f"{captured.line()}\n" for captured in together).encode()
            try:
                self._objects.put(f"{folder}/{name}", Object(content, "application/json"))
                self._complained = False
            except StorageError as error:
                self._complain(f"S3 refuses, and is asked again: {error}")
                left += together
        return left

    def _complain(self, what: str) -> None:
        """Once, until it works again."""
        if not self._complained:
            self._complained = True
            _LOG.warning("Data capture: %s", what)
