"""The three ways to invoke an endpoint: the SDK's predictor, boto3, and the AWS CLI as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from botocore.exceptions import ClientError
from scipy import sparse

from runner.errors import RunnerError, SettingsError

PAYLOAD_BYTES = 6 * 1024 * 1024  # AWS: "Maximum payload size for endpoint invocation"
CLOSE = 1e-5  # relative: a batch may be multiplied in another order than a single row
CLI_SECONDS = 120
BAD_REQUEST = 400  # the container's own status, in the ModelError

Rows = Sequence[Sequence[float]]
Predict = Callable[[Any], Any]


@dataclass(frozen=True)
class Invocations:
    """What each way answered, a list of predictions each, known to be equal."""

    predictor: list[Any]
    boto3: list[Any]
    cli: list[Any] | None  # None where there is no API that it could call

    def answered(self) -> dict[str, list[Any]]:
        """The answers of the ways that there were."""
        return {way: answer for way, answer in vars(self).items() if answer is not None}

    def cluster_indices(self) -> dict[str, list[int]]:
        """The cluster of each row, by way."""
        return {way: [each["cluster_index"] for each in answer] for way, answer in self.answered().items()}


def dense_rows(matrix: sparse.csr_matrix) -> list[list[float]]:
    """The rows of a CSR matrix as JSON takes them: lists of plain floats, 0 where not rated."""
    rows: list[list[float]] = matrix.toarray().astype(float).tolist()
    return rows


def encode(rows: Rows) -> bytes:
    """The request's body: TensorFlow Serving's row format, as JSON."""
    return json.dumps({"instances": rows}, separators=(",", ":")).encode()


def check_payload(rows: Rows) -> None:
    """Raise SettingsError when one invocation cannot take these rows, before a job and an endpoint are paid for."""
    size = len(encode(rows))
    if size > PAYLOAD_BYTES:
        raise SettingsError(
            f"predict_num_users = {len(rows)}: {len(rows)} rows of {len(rows[0]):,} films make a request of "
            f"{size / 1e6:.1f} MB, and an endpoint takes {PAYLOAD_BYTES / 1e6:.0f} MB. "
            f"Set it to {max(1, len(rows) * PAYLOAD_BYTES // size)}, or give fewer films"
        )


def with_boto3(runtime: Any, endpoint: str, rows: Rows) -> list[Any]:
    """`invoke_endpoint` of a boto3 `sagemaker-runtime` client."""
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType="application/json",
        Accept="application/json",
        Body=encode(rows),
    )
    return _predictions(answer["Body"].read())


@dataclass(frozen=True)
class CommandLine:
    """The AWS CLI's surroundings: what a person's shell would give it."""

    environment: Mapping[str, str]
    region: str  # the environment need not name one, and the CLI does without only when its configuration does


def with_cli(shell: CommandLine, endpoint: str, rows: Rows) -> list[Any]:
    """`aws sagemaker-runtime invoke-endpoint`, really run. Raises RunnerError with what the CLI said."""
    with tempfile.TemporaryDirectory(prefix="invoke-endpoint-") as folder:
        body, answer = Path(folder, "body.json"), Path(folder, "answer.json")
        body.write_bytes(encode(rows))
        command = [
            *(sys.executable, "-m", "awscli", "sagemaker-runtime", "invoke-endpoint"),
            *("--region", shell.region, "--endpoint-name", endpoint),
            *("--content-type", "application/json", "--accept", "application/json"),
            *("--body", f"fileb://{body}", str(answer)),
        ]
        done = subprocess.run(
            command, env=dict(shell.environment), capture_output=True, text=True, timeout=CLI_SECONDS, check=False
        )
        if done.returncode:
            raise RunnerError(f"the AWS CLI ended with status {done.returncode}: {done.stderr.strip()}")
        return _predictions(answer.read_bytes())


def all_ways(predict: Predict, runtime: Any, shell: CommandLine | None, endpoint: str, rows: Rows) -> Invocations:
    """Ask in each way, by the CLI where there is a shell; raises RunnerError that shows where the answers differ."""
    answers = Invocations(
        predictor=predict({"instances": rows})["predictions"],
        boto3=with_boto3(runtime, endpoint, rows),
        cli=with_cli(shell, endpoint, rows) if shell is not None else None,
    )
    check_equal(answers)
    return answers


def check_equal(answers: Invocations) -> None:
    """Raise RunnerError that names the rows, and shows the answers to the first, unless all are equal."""
    answered = answers.answered()
    lengths = {way: len(answer) for way, answer in answered.items()}
    if len(set(lengths.values())) > 1:
        raise RunnerError(f"the ways to invoke answered for different numbers of rows: {lengths}")
    differing = [
        row for row, ways in enumerate(zip(*answered.values(), strict=True)) if any(each != ways[0] for each in ways)
    ]
    if differing:
        shown = "\n".join(f"  {way:9} {json.dumps(answer[differing[0]])}" for way, answer in answered.items())
        raise RunnerError(f"the ways to invoke differ in rows {differing}. Row {differing[0]}:\n{shown}")


def check_single_vectors(predict: Predict, row: Sequence[float], expected: Any) -> str:
    """`predictor.predict([6.4, 3.2, …])`: one vector is answered as in the batch, one of a wrong length is refused.

    Returns the endpoint's own message for the wrong length. Raises RunnerError when either does not hold.
    """
    (alone,) = predict(list(row))["predictions"]
    same = alone["cluster_index"] == expected["cluster_index"]
    if not same or not np.allclose(alone["distances"], expected["distances"], rtol=CLOSE, atol=CLOSE):
        raise RunnerError(f"a single vector was answered {json.dumps(alone)}, in a batch {json.dumps(expected)}")
    try:
        wrong = predict([*row, 0.0])
    except ClientError as error:
        if error.response.get("OriginalStatusCode") != BAD_REQUEST:
            raise
        return str(error.response["OriginalMessage"])
    raise RunnerError(f"a vector of length {len(row) + 1} instead of {len(row)} was answered: {json.dumps(wrong)}")


def cluster_indices(runtime: Any, endpoint: str, matrix: sparse.csr_matrix) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The cluster of each row, int64 of shape (rows,), asked for in batches that fit into one invocation."""
    clusters = [
        prediction["cluster_index"] for batch in _batches(matrix) for prediction in with_boto3(runtime, endpoint, batch)
    ]
    return np.asarray(clusters, dtype=np.int64)


def _batches(matrix: sparse.csr_matrix) -> Iterator[list[list[float]]]:
    """Rows that fit into one invocation; only one batch is dense at a time."""
    batch: list[list[float]] = []
    size = 0
    for start in range(matrix.shape[0]):
        (row,) = dense_rows(matrix[start : start + 1])
        length = len(encode([row]))  # with its brackets, so that the sum is never too small
        if batch and size + length > PAYLOAD_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _predictions(body: bytes) -> list[Any]:
    """Read an answer. Raises RunnerError that shows the beginning of one that is not what TensorFlow Serving writes."""
    try:
        predictions: list[Any] = json.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError):
        raise RunnerError(f"the endpoint's answer is not a JSON object with predictions: {body[:200]!r}") from None
    return predictions
