"""What is compared of a run: an observation for each aspect, with the run's own names taken out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comparison import flatten, with_names
from parity_run import Outcome

ASPECTS = (
    *("centres", "model.tar.gz", "output.tar.gz", "metrics", "predictions", "recommendations"),
    *("environment", "process", "/opt/ml"),
)


def observe(outcome: Outcome, aspect: str) -> dict[str, Any]:
    """One aspect, as values by key."""
    report, probe = outcome.report, outcome.probe
    everything: Mapping[str, Any] = {
        "centres": outcome.centres,
        "model.tar.gz": _files(outcome.model),
        "output.tar.gz": _files(outcome.output),
        "metrics": report["training"],
        "predictions": {name: report[name] for name in ("predictions", "invocations")},
        "recommendations": {name: report[name] for name in ("dataset", "evaluation", "recommendations", "clusters")},
        "environment": probe["environment"],
        "process": {name: probe[name] for name in ("arguments", "directory", "python", "packages")},
        "/opt/ml": probe["tree"],
    }
    return with_names(dict(flatten(everything[aspect])), own_names(outcome))


def own_names(outcome: Outcome) -> dict[str, str]:
    """What each run has its own text for, and the common name: the job, and what is /opt/ml to the script."""
    return {outcome.report["run_name"]: "JOB", outcome.probe["base"]: "/opt/ml"}


def _files(archive: Mapping[str, bytes]) -> dict[str, Any]:
    """The names as they are, and the content by the file's own name: JSON itself, of the rest the hash.

    What the probe wrote is compared as the other aspects.
    """
    contents = {
        Path(name).name: _content(name, content)
        for name, content in archive.items()
        if not name.endswith("/") and Path(name).name != "probe.json"
    }
    return {"names": dict.fromkeys(archive, "there"), "contents": contents}


def _content(name: str, content: bytes) -> Any:
    return json.loads(content) if name.endswith(".json") else hashlib.sha256(content).hexdigest()
