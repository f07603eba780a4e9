"""The base of our images: Python's own slim image, or one of Debian's packages where no registry can be reached."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from docker.errors import ImageNotFound as NotThere
from requests import RequestException

from emulator.engine.docker_build import POLL_SECONDS, Builder
from emulator.engine.docker_labels import NAME, PROJECT
from emulator.engine.inherited import with_defaults

OFFICIAL = "python:3.11-slim-bookworm"
OWN = f"{NAME}/base:bookworm-python3.11"
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
LAST_LINES = 10


class BaseUnavailable(Exception):
    """No base can be had; the message says what was tried, and what to do."""


class Base:
    """The base of one daemon's images."""

    def __init__(
        self, client: Any, builder: Builder, script: Path, cache_dir: Path, report: Callable[[str], None]
    ) -> None:
        self._client = client
        self._builder = builder
        self._script = script
        self._cache_dir = cache_dir
        self._report = report

    def reference(self) -> str:
        """Its name: what the daemon has, else what a registry gives, else our own.

        For one caller at a time. Raises BaseUnavailable, BuildFailed, OSError.
        """
        for name in (OFFICIAL, OWN):
            if self._has(name):
                return name
        try:
            self._client.images.pull(OFFICIAL)
            return OFFICIAL
        except (DockerException, RequestException) as error:
            self._make(str(error))
        return OWN

    def _has(self, name: str) -> bool:
        try:
            self._client.images.get(name)
        except NotThere:
            return False
        return True

    def _make(self, why: str) -> None:
        """Make our own, in place of the official one that cannot be had because of `why`."""
        debootstrap = shutil.which("debootstrap", path=f"{os.defpath}:{SYSTEM_PATH}")
        if os.geteuid() != 0 or debootstrap is None:
            raise BaseUnavailable(
                f"The base image {OFFICIAL} cannot be pulled ({why}). On Debian it can be made instead, by root: "
                f"apt-get install debootstrap, then {self._script} | docker import -c 'CMD [\"python3\"]' - {OWN}"
            )
        self._report(f"{OFFICIAL} cannot be pulled: making a base of Debian's packages instead (once; takes a minute)")
        started = time.monotonic()
        with tempfile.TemporaryFile(dir=self._cache_dir) as tar, tempfile.TemporaryFile(mode="w+b") as log:
            process = subprocess.Popen(
                [str(self._script)],
                env=with_defaults({"PATH": SYSTEM_PATH}),
                stdin=subprocess.DEVNULL,
                stdout=tar,
                stderr=log,
                start_new_session=True,
                umask=0o022,  # an image's files are for any user of it
            )
            try:
                while process.poll() is None:
                    self._builder.stopped.wait(POLL_SECONDS)
                    self._builder.raise_if_stopped()
            finally:
                if process.poll() is None:  # we were stopped, or interrupted
                    os.killpg(process.pid, signal.SIGTERM)  # what it runs as well; it removes what it has made so far
                    process.wait()
            if process.returncode:
                log.seek(0)
                last = log.read().decode("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
                raise BaseUnavailable("\n".join([f"The base image could not be made; {self._script} said:", *last]))
            tar.seek(0)
            repository, _, tag = OWN.partition(":")
            self._client.api.import_image_from_data(
                tar, repository=repository, tag=tag, changes=['CMD ["python3"]', f"LABEL {PROJECT}={NAME}"]
            )
        self._report(f"base ready after {time.monotonic() - started:.0f} s: {OWN}")
