"""What the entry point wrote for the runner: metrics and each user's cluster, in the job's output.tar.gz."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from botocore.exceptions import ClientError

from runner.errors import RunnerError

Indices = np.ndarray[Any, np.dtype[np.int64]]
# What a file that is something else, damaged or cut short makes the readers below raise.
UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class TrainingOutput:
    """The clusters are int64, one a row of the matrix, in row order."""

    metrics: dict[str, Any]
    train_clusters: Indices
    test_clusters: Indices


def fetch(s3: Any, uri: str) -> TrainingOutput:
    """Download and read `output.tar.gz`. Raises RunnerError that names the URI when something is missing in it."""
    place = urlsplit(uri)
    archive = io.BytesIO()
    try:
        s3.download_fileobj(place.netloc, place.path.lstrip("/"), archive)
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            # The SDK's local mode packs /opt/ml/output, SageMaker and the emulator pack /opt/ml/output/data.
            files = {
                member.name.removeprefix("./").removeprefix("data/"): tar.extractfile(member)
                for member in tar
                if member.isfile()
            }
            text = {name: file.read().decode() for name, file in files.items() if file is not None}
        return TrainingOutput(
            metrics=json.loads(text["metrics.json"]),
            train_clusters=_clusters(text["assignments-train.csv"]),
            test_clusters=_clusters(text["assignments-test.csv"]),
        )
    except (ClientError, *UNREADABLE) as error:
        raise RunnerError(
            f"{uri}: not what entry_point/kmeans_clustering.py writes ({type(error).__name__}: {error}). "
            "An entry point of your own must write metrics.json and assignments-{train,test}.csv to SM_OUTPUT_DATA_DIR"
        ) from None


def _clusters(table: str) -> Indices:
    return np.asarray([int(row["cluster_index"]) for row in csv.DictReader(io.StringIO(table))], dtype=np.int64)
