"""`pip` for an entry point of the request's own: for its job alone, since the image's environment is every job's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAMES = ("pip", "pip3")
FOLDER, PACKAGES = "bin", "packages"  # below the job's tree

# Needs UV and VIRTUAL_ENV, which the engine sets. What the image has stays where the requirements allow it, as with the
# container's own pip.
_PIP = """#!/bin/sh
if [ "$1" != install ]; then exec "$UV" pip "$@"; fi
shift
packages=$(dirname "$0")/../packages
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
python=$VIRTUAL_ENV/bin/python
"$UV" pip freeze --quiet --python "$python" > "$constraints"
"$UV" pip install --python "$python" --target "$packages" --constraint "$constraints" "$@" && exit
echo "Trying again with other versions than the image's"
"$UV" pip install --python "$python" --target "$packages" "$@"
"""


def provide(base: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Write it below the job's tree; returns the variables by which it, and what it installs, are found."""
    folder = base / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_text(_PIP, "utf-8")
        (folder / name).chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(folder), environment["PATH"]]),
        "PYTHONPATH": str(base / PACKAGES),
    }
