"""The entry point of the parity tests: writes down what a script sees of its container, then is the project's own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import runpy
import stat
import sys
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def described(path: Path) -> dict[str, object]:
    """Kind, who may write, and of a file its content: as it is where it is short, else its hash."""
    status = path.lstat()
    kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file" if path.is_file() else "other"
    description: dict[str, object] = {
        "kind": kind,
        "the script may write": os.access(path, os.W_OK),
        "others may write": bool(status.st_mode & OTHERS_WRITE),
    }
    if kind == "file":
        content = path.read_bytes()
        is_text = path.suffix == ".json"
        description["content"] = content.decode() if is_text else hashlib.sha256(content).hexdigest()
    return description


def packages() -> dict[str, str]:
    """The version of each package that can be imported: of several, the first on the path."""
    found: dict[str, str] = {}
    for item in importlib.metadata.distributions():
        found.setdefault(item.name.lower().replace("_", "-"), item.version)
    return found


def observations() -> dict[str, object]:
    """All that can differ from one engine to another."""
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "packages": packages(),
        "tree": {str(path.relative_to(base)): described(path) for path in [base, *sorted(base.rglob("*"))]},
        "base": str(base),
    }


def main() -> None:
    """Look around first: what follows makes files."""
    seen = observations()
    output = Path(os.environ["SM_OUTPUT_DATA_DIR"])
    output.mkdir(parents=True, exist_ok=True)
    (output / "probe.json").write_text(json.dumps(seen, indent=1), "utf-8")
    runpy.run_path(str(Path(__file__).with_name("kmeans_clustering.py")), run_name="__main__")


if __name__ == "__main__":
    main()
