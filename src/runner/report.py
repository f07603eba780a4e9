"""The record of a run: what `report.json` holds."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.progress import Step
from runner.recommend import ClusterFilms

FILE_NAME = "report.json"


@dataclass
class Report:
    """Filled in as the run goes on; what was not reached stays None or empty."""

    mode: str
    run_name: str
    engine: str | None = None
    error: str | None = None  # why the run ended early
    dataset: Mapping[str, Any] | None = None  # users, movies, ratings, skipped by reason
    steps: Sequence[Step] = ()
    training: Mapping[str, Any] | None = None  # job name, metrics, model artifact
    invocations: Mapping[str, list[int]] | None = None  # predictor, boto3, cli: the cluster indices
    predictions: Sequence[Any] = ()  # one a new user: cluster_index, distances; as the predictor answered
    evaluation: dict[str, Any] = field(default_factory=dict)
    recommendations: Sequence[Any] = ()  # one a sample user, with titles
    clusters: Sequence[ClusterFilms] = ()  # each cluster's best and worst films
    endpoint: str | None = None  # its name, when --keep-endpoint left it
    removed: bool = False  # true only when each deletion was verified

    def write(self, folder: Path) -> Path:
        """Write report.json, whole or not at all; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            draft.write_text(
                json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path
