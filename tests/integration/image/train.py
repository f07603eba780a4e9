"""A training program of the standard library only; its hyperparameters say what it does."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])


def main() -> int:
    """Read the channels, write a model and a metric; `fail` (on the host `only`), `hang` and `lines` change that.

    `program` is Python that runs instead.
    """
    parameters = json.loads((BASE / "input/config/hyperparameters.json").read_text("utf-8"))
    if "program" in parameters:
        exec(parameters["program"], {"BASE": BASE})
        return 0
    words = sorted(path.read_text("utf-8").strip() for path in (BASE / "input/data").rglob("*") if path.is_file())
    print("words:", " ".join(words))
    for number in range(int(parameters.get("lines", "0"))):
        print(f"line {number}")
    host = json.loads((BASE / "input/config/resourceconfig.json").read_text("utf-8"))["current_host"]
    if "fail" in parameters and parameters.get("only", host) == host:
        (BASE / "output" / "failure").write_text(f"ExecuteUserScriptError:\n{parameters['fail']}", "utf-8")
        return 1
    (BASE / "model" / "words.json").write_text(json.dumps(words), "utf-8")
    (BASE / "output/data/note.txt").write_text("done\n", "utf-8")
    if "hang" in parameters:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if parameters["hang"] == "politely" else None)
        print("hanging", flush=True)
        while True:
            time.sleep(0.05)
    print(f"[test] words={len(words)};")
    return 0


if __name__ == "__main__":
    sys.exit(main())
