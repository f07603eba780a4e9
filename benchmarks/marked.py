"""The entry point of `engines.py`: says when it starts, has TensorFlow and ends; in between it is the project's own."""

from __future__ import annotations

import os
import runpy
import time
from pathlib import Path
from typing import NoReturn


def mark(name: str) -> None:
    """One line: the name, and the time of this machine's clock."""
    print(f"[mark] {name} {time.time():.4f}", flush=True)


if __name__ == "__main__":
    mark("script")
    import tensorflow  # noqa: F401  # what follows finds it imported

    mark("tensorflow")
    end = os._exit

    def marked_end(status: int) -> NoReturn:
        """How the script ends."""
        mark("ended")
        end(status)

    os._exit = marked_end
    runpy.run_path(str(Path(__file__).with_name("kmeans_clustering.py")), run_name="__main__")
