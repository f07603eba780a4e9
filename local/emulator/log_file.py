"""The log of an emulator in the background: its standard error, in a file that must not grow without bound."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

LONGEST = 10_000_000  # bytes; the file before it, with `.1` behind its name, has as many


def keep_short(path: Path, descriptor: int = 2, longest: int = LONGEST) -> None:
    """Begin the file anew when it is too long, if it is what the descriptor, which must append, writes to.

    What is written between the copying and the cutting is lost; a disk without room for the copy loses all of it.
    """
    with suppress(OSError):
        found = path.stat()
        if found.st_size > longest and os.path.samestat(found, os.fstat(descriptor)):
            with suppress(OSError):
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
