"""output.tar.gz of the entry point is read, and anything else is refused by name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from runner.errors import RunnerError
from runner.training_output import fetch

Put = Callable[[bytes], str]
# What entry_point/kmeans_clustering.py writes to SM_OUTPUT_DATA_DIR.
FILES = {
    "metrics.json": json.dumps({"train_inertia": 275.3495378, "test_inertia": 70.1, "iterations": 7}),
    "assignments-train.csv": "row,cluster_index\r\n0,1\r\n1,0\r\n2,1\r\n",
    "assignments-test.csv": "row,cluster_index\r\n0,0\r\n",
}


@pytest.fixture
def put(s3: Any, bucket: str) -> Put:
    """Put bytes where SageMaker puts a job's output; returns the URI."""

    def put(body: bytes) -> str:
        s3.put_object(Bucket=bucket, Key="job/output/output.tar.gz", Body=body)
        return f"s3://{bucket}/job/output/output.tar.gz"

    return put


def packed(files: Mapping[str, str], prefix: str = "") -> bytes:
    """A tar.gz of them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_entry_points_own_output_is_read(s3: Any, put: Put, prefix: str) -> None:
    """Whether the archive was packed by names or from the folder (`tar -C output .`)."""
    output = fetch(s3, put(packed(FILES, prefix)))
    assert output.metrics["train_inertia"] == 275.3495378
    assert output.train_clusters.tolist() == [1, 0, 1]
    assert output.test_clusters.tolist() == [0]
    assert output.train_clusters.dtype == np.int64


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(s3: Any, put: Put, missing: str) -> None:
    """An entry point of the user's own may know nothing of it."""
    uri = put(packed({name: text for name, text in FILES.items() if name != missing}))
    with pytest.raises(RunnerError, match=f"^{uri}: not what .*{missing}") as caught:
        fetch(s3, uri)
    assert "SM_OUTPUT_DATA_DIR" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.json", "{"),
        ("assignments-train.csv", "row,cluster\n0,1\n"),
        ("assignments-train.csv", "row,cluster_index\n0\n"),
        ("assignments-test.csv", "row,cluster_index\n0,one\n"),
    ],
)
def test_a_file_that_is_something_else_is_refused(s3: Any, put: Put, file: str, text: str) -> None:
    """Not JSON, no such column, a row that ends early, no number."""
    uri = put(packed(FILES | {file: text}))
    with pytest.raises(RunnerError, match=f"^{uri}: not what "):
        fetch(s3, uri)


@pytest.mark.parametrize(
    "body",
    [b"", b"no archive", packed(FILES)[:-40], packed(FILES)[:30], packed(FILES)[:10] + b"\xff" * 50],
    ids=["empty", "other bytes", "cut off", "cut off early", "damaged"],
)
def test_what_is_no_whole_archive_is_refused(s3: Any, put: Put, body: bytes) -> None:
    """An upload that was cut short must not end the run with a traceback."""
    uri = put(body)
    with pytest.raises(RunnerError, match=f"^{uri}: not what "):
        fetch(s3, uri)


def test_a_missing_object_is_refused(s3: Any, bucket: str) -> None:
    """A job that writes nothing to SM_OUTPUT_DATA_DIR has no output.tar.gz."""
    uri = f"s3://{bucket}/none/output.tar.gz"
    with pytest.raises(RunnerError, match=f"^{uri}: not what .*404"):
        fetch(s3, uri)
