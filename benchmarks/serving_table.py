"""What benchmarks/serving.py makes of latencies: a table with ratios, and another one of the goals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from serving_run import AWS, FASTAPI, OURS

COLD_GOAL = 1.3
# What, connections, format, compared with, and at most (p50) or at least (throughput) so many times that.
GOALS = (
    ("p50", 1, "JSON", FASTAPI, 0.45),
    ("rps", 8, "JSON", FASTAPI, 2.5),
    ("rps", 8, "JSON", AWS, 1.7),
    ("rps", 8, "CSV", AWS, 100.0),
)

Key = tuple[str, int, str]  # format, connections, server
Measured = Mapping[Key, list[Mapping[str, float]]]


def figures(milliseconds: Sequence[float], seconds: float, cpu_seconds: float) -> Mapping[str, float]:
    """p50, p99 (of one alone: that), requests a second, and the server's CPU milliseconds for each."""
    ordered = sorted(milliseconds)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {
        "p50": statistics.median(ordered),
        "p99": p99,
        "rps": len(ordered) / seconds,
        "cpu": cpu_seconds * 1000 / len(ordered),
    }


def medians(rounds: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Of each figure over the rounds."""
    return {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}


def show(measured: Measured, cold: Sequence[tuple[float, float]]) -> list[Mapping[str, object]]:
    """Print the table and the goals; the goals as records."""
    print("| format | connections | server | p50 ms | p99 ms | requests/s | CPU ms | ours: p50 | requests/s | CPU |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for (kind, connections, way), rounds in measured.items():
        found, ours = medians(rounds), medians(measured[kind, connections, OURS])
        ratios = [f"{ours[name] / found[name]:.2f} ×" if way != OURS else "" for name in ("p50", "rps", "cpu")]
        speed = f"{found['p50']:.2f} | {found['p99']:.2f} | {found['rps']:.0f} | {found['cpu']:.2f}"
        print(f"| {kind} | {connections} | {way} | {speed} | {' | '.join(ratios)} |")
    goals = [_goal(measured, *goal) for goal in GOALS]
    first, floor = (statistics.median(seconds) for seconds in zip(*cold, strict=True))
    print(f"\nCold start: first answer after {first:.2f} s; import tensorflow and load alone {floor:.2f} s.")
    goals.append(_judged("cold start, of import + load", first / floor, "at most", COLD_GOAL))
    print("\n| goal | wanted | seen | |\n|---|---|---|---|")
    for goal in goals:
        seen = "not measured" if goal["seen"] is None else f"{goal['seen']:.2f} ×"
        print(f"| {goal['goal']} | {goal['wanted']} | {seen} | {goal['verdict']} |")
    return goals


def _goal(measured: Measured, what: str, connections: int, kind: str, other: str, limit: float) -> Mapping[str, object]:
    name = f"{kind}, {connections} connection{'s' * (connections > 1)}: {what} of {other}'s"
    word = "at most" if what == "p50" else "at least"
    if (kind, connections, other) not in measured:
        return {"goal": name, "wanted": f"{word} {limit:g} ×", "seen": None, "verdict": "not measured"}
    ratio = medians(measured[kind, connections, OURS])[what] / medians(measured[kind, connections, other])[what]
    return _judged(name, ratio, word, limit)


def _judged(name: str, ratio: float, word: str, limit: float) -> Mapping[str, object]:
    met = ratio <= limit if word == "at most" else ratio >= limit
    return {"goal": name, "wanted": f"{word} {limit:g} ×", "seen": ratio, "verdict": "met" if met else "missed"}
