"""Reads a training job's metrics out of its log lines, by its MetricDefinitions; the last value of each is kept."""

from __future__ import annotations

import math
import re
from typing import Any

from emulator.clock import Clock
from emulator.store.port import Resource


class Metrics:
    """The metrics of one job. `read` is called by one thread at a time."""

    def __init__(self, job: Resource, clock: Clock) -> None:
        definitions = job.document["AlgorithmSpecification"].get("MetricDefinitions", ())
        self._patterns = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        self._clock = clock
        self._found: dict[str, dict[str, Any]] = {}

    def read(self, line: str) -> None:
        """Take what the line says: the first group of each expression that matches, if that is a number."""
        for name, pattern in self._patterns:
            match = pattern.search(line)
            if match is None or not match.groups():
                continue
            try:
                value = float(match.group(1))
            except (TypeError, ValueError):
                continue  # matched something that is no number; AWS leaves it out as well
            if math.isfinite(value):  # JSON, AWS's protocol, has neither NaN nor infinity
                self._found[name] = {"MetricName": name, "Value": value, "Timestamp": self._clock.now()}

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList: the last value of each, in the order in which they first came."""
        return list(self._found.values())
