"""Where the seconds of a local run go: runs the workflow some times, warm, and prints each step's seconds and share.

python benchmarks/workflow.py [--runs 3] [flags of python -m runner, such as --movies …]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(flags: list[str]) -> tuple[float, dict[str, float]]:
    """One run: wall seconds of the process, and seconds by step."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "runner", "--mode", "local", "--report-dir", folder, *flags],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall = time.perf_counter() - began
        report = json.loads(Path(folder, "report.json").read_text())
    return wall, {step["name"]: step["seconds"] for step in report["steps"]}


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options, flags = parser.parse_known_args()
    run(flags)  # builds what is missing, and warms the file cache
    runs = [run(flags) for _ in range(options.runs)]
    total = statistics.median(wall for wall, _ in runs)
    for name in runs[0][1]:
        value = statistics.median(steps[name] for _, steps in runs)
        print(f"{name:12} {value:6.2f} s  {value / total:5.1%}")
    print(f"{'process':12} {total:6.2f} s  (runs: {', '.join(f'{wall:.1f}' for wall, _ in runs)})")


if __name__ == "__main__":
    main()
