"""A server that starts before anybody knows what it is to serve, and imports TensorFlow meanwhile."""

from __future__ import annotations

import importlib
import json
import os
import select
import tempfile
from collections.abc import MutableMapping
from typing import IO

IDLE_SECONDS = 900.0  # nobody wants it: it has 300 MB of memory that others may


def wait(told: IO[bytes], environment: MutableMapping[str, str], idle_seconds: float = IDLE_SECONDS) -> bool:
    """Import TensorFlow, then become what a line of JSON says: {"environment": {…}, "folder": "…"}.

    Replaces the whole environment and goes to the folder. False when no line comes in that time, or none will.
    """
    importlib.import_module("tensorflow")
    if not select.select([told], [], [], idle_seconds)[0]:
        return False
    line = told.readline()
    if not line:
        return False
    wanted = json.loads(line)
    environment.clear()
    environment.update(wanted["environment"])
    os.chdir(wanted["folder"])
    tempfile.tempdir = None  # which remembers what the old environment said
    return True
