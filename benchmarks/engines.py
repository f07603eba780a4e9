"""The same job through every engine, warm, in turns: fit + deploy + first prediction, and where the seconds go in each.

python benchmarks/engines.py [--runs 5] [--engines venv docker sdk …] [--json FILE] [flags of python -m runner]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from engine_run import AS_IT_COMES, measure, set_up, tear_down

GOALS = {"venv": 0.4, "docker": 0.7}  # of the SDK's local mode
# Without the SDK's repeated validation of its own settings, which the runner leaves out; AS_IT_COMES has it.
REFERENCE = "sdk"
ENGINES = ("venv", "docker", REFERENCE, AS_IT_COMES)
# What begins with the mark before, and ends with this one. Where an engine does not have a mark, the next phase has
# its time as well: the SDK's local mode knows no statuses, and the venv engine starts no containers.
PHASES = (
    ("pack and send the script, create the job, download", ("status Training",)),
    ("container starts", ("container starts",)),
    ("`train` starts, fetches the script", ("script",)),
    ("import TensorFlow", ("tensorflow",)),
    ("train", ("trained",)),
    ("evaluate and export", ("ended",)),
    ("script and `train` end", ("container ends", "status Uploading")),
    ("pack, upload, notice, read the output", ("train returns",)),
    ("create model and endpoint, container starts", ("endpoint's container starts",)),
    ("server listens", ("server: Listening",)),
    ("import TensorFlow, load the model", ("server: Ready",)),
    ("notice that it is in service", ("deploy returns",)),
    ("first prediction", ("first answer",)),
)
TOTALS = {"fit": (None, "train returns"), "deploy": ("train returns", "deploy returns"), "all": (None, "first answer")}

Marks = Mapping[str, float]


def phases(marks: Marks) -> dict[str, float]:
    """Seconds by phase; those that this engine does not mark are left out."""
    seconds, before = {}, 0.0
    for name, ends in PHASES:
        found = next((marks[end] for end in ends if end in marks), None)
        if found is not None:
            seconds[name], before = found - before, found
    return seconds


def totals(marks: Marks) -> dict[str, float]:
    """Seconds of fit, of deploy, and of all until the first answer."""
    return {name: marks[end] - (marks[begin] if begin else 0.0) for name, (begin, end) in TOTALS.items()}


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each value."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def run(engines: Sequence[str], runs: int, flags: list[str]) -> dict[str, list[Marks]]:
    """Set up all engines, each in a process of its own, and measure them in turns; the order rotates."""
    context = multiprocessing.get_context("spawn")
    pools = {engine: ProcessPoolExecutor(1, context) for engine in engines}
    measured: dict[str, list[Marks]] = {engine: [] for engine in engines}
    try:
        for engine, pool in pools.items():
            print(f"{engine}: setting up, and one run that is not counted", file=sys.stderr)
            pool.submit(set_up, engine, flags).result()
        for number in range(runs):
            for place in range(len(engines)):
                engine = engines[(number + place) % len(engines)]
                measured[engine].append(pools[engine].submit(measure).result())
                print(f"run {number + 1}: {engine} {totals(measured[engine][-1])['all']:.2f} s", file=sys.stderr)
    finally:
        for pool in pools.values():
            for problem in pool.submit(tear_down).result():
                print(problem, file=sys.stderr)
            pool.shutdown()
    return measured


def show(measured: Mapping[str, Sequence[Marks]]) -> None:
    """Print medians: all and its ratio, then the phases."""
    all_totals = {engine: [totals(marks) for marks in runs] for engine, runs in measured.items()}
    references = [engine for engine in (REFERENCE, AS_IT_COMES) if engine in all_totals]
    titles = "".join(f" ratio to {engine} |" for engine in references)
    print(f"| engine | fit | deploy | all, to the first prediction | runs |{titles} goal |")
    print(f"|---|---|---|---|---|{'---|' * len(references)}---|")
    for engine, runs in all_totals.items():
        median = medians(runs)
        ratios = "".join(f" {median['all'] / medians(all_totals[each])['all']:.2f} |" for each in references)
        each = ", ".join(f"{seconds['all']:.1f}" for seconds in runs)
        print(
            f"| {engine} | {median['fit']:.2f} | {median['deploy']:.2f} | {median['all']:.2f} "
            f"| {each} |{ratios} {GOALS.get(engine, '')} |"
        )
    print()
    by_phase = {engine: medians([phases(marks) for marks in runs]) for engine, runs in measured.items()}
    print(f"| seconds | {' | '.join(by_phase)} |")
    print(f"|---|{'---|' * len(by_phase)}")
    for name, _ in PHASES:
        values = (f"{seconds[name]:.2f}" if name in seconds else "↓" for seconds in by_phase.values())
        print(f"| {name} | {' | '.join(values)} |")
    print("\n↓ this engine does not tell; it is in the next line")


def main() -> None:
    """Measure, print, and write what was measured if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--json", type=Path, help="write every mark of every run there")
    options, flags = parser.parse_known_args()
    measured = run(options.engines, options.runs, flags)
    if options.json:
        about = {"when": datetime.now(UTC).isoformat(), "machine": platform.machine(), "processors": os.cpu_count()}
        options.json.write_text(json.dumps({**about, "flags": flags, "marks": measured}, indent=1) + "\n", "utf-8")
    show(measured)


if __name__ == "__main__":
    main()
