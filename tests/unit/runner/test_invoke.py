"""The three answers must be equal, and single vectors must behave."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from scipy import sparse

from runner import invoke
from runner.errors import RunnerError, SettingsError
from runner.invoke import Invocations

ONE = {"cluster_index": 1, "distances": [0.5, 0.25]}
TWO = {"cluster_index": 0, "distances": [0.25, 0.5]}


class FakeRuntime:
    """Answers with the first rating of each row as its cluster, and keeps the sizes of what it was sent."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """As a `sagemaker-runtime` client's."""
        self.sizes.append(len(request["Body"]))
        rows = json.loads(request["Body"])["instances"]
        answer = {"predictions": [{"cluster_index": int(row[0])} for row in rows]}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


def test_equal_answers_pass() -> None:
    """Equal answers are no error, and their clusters are told by way."""
    answers = Invocations([ONE, TWO], [ONE, TWO], [ONE, TWO])
    invoke.check_equal(answers)
    assert answers.cluster_indices() == {"predictor": [1, 0], "boto3": [1, 0], "cli": [1, 0]}


def test_where_there_is_no_api_the_other_two_are_compared() -> None:
    """The CLI has no part in it, and none in the report."""
    answers = Invocations([ONE, TWO], [ONE, TWO], None)
    invoke.check_equal(answers)
    assert answers.cluster_indices() == {"predictor": [1, 0], "boto3": [1, 0]}
    with pytest.raises(RunnerError, match=r"differ in rows \[1\]"):
        invoke.check_equal(Invocations([ONE, TWO], [ONE, ONE], None))


@pytest.mark.parametrize("way", ["predictor", "boto3", "cli"])
def test_a_different_answer_is_shown(way: str) -> None:
    """The error names the row and shows what each way answered."""
    answers = {each: [ONE, TWO] for each in ("predictor", "boto3", "cli")} | {way: [ONE, ONE]}
    with pytest.raises(RunnerError, match=r"differ in rows \[1\]") as caught:
        invoke.check_equal(Invocations(**answers))
    assert len(str(caught.value).splitlines()) == 4


def test_a_missing_answer_is_shown() -> None:
    """Fewer answers than rows cannot pass as equal."""
    with pytest.raises(RunnerError, match="different numbers of rows"):
        invoke.check_equal(Invocations([ONE], [ONE, TWO], [ONE, TWO]))


@pytest.mark.parametrize("rating", [0.5, 10.0, 7.3])
def test_clusters_are_asked_for_in_batches_below_the_payload_limit(
    monkeypatch: pytest.MonkeyPatch, rating: float
) -> None:
    """Every row is answered once, in order, and no request is too large, however long its numbers are."""
    monkeypatch.setattr(invoke, "PAYLOAD_BYTES", 600)
    values = np.full((10, 12), rating, dtype=np.float32)
    values[:, 0] = np.arange(10)
    runtime = FakeRuntime()
    clusters = invoke.cluster_indices(runtime, "endpoint", sparse.csr_matrix(values))
    assert clusters.tolist() == list(range(10))
    assert len(runtime.sizes) > 1
    assert max(runtime.sizes) <= 600


def test_a_request_that_is_too_large_is_found_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting and a value that works."""
    rows = [[0.0] * 100] * 10
    invoke.check_payload(rows)
    monkeypatch.setattr(invoke, "PAYLOAD_BYTES", 2100)
    with pytest.raises(SettingsError, match=r"predict_num_users = 10: .* Set it to 5"):
        invoke.check_payload(rows)
    invoke.check_payload(rows[:5])


def refuse(status: int, message: str) -> ClientError:
    """What the runtime API answers for a container's error."""
    problem = {"Error": {"Code": "ModelError", "Message": message}}
    return ClientError({**problem, "OriginalStatusCode": status, "OriginalMessage": message}, "InvokeEndpoint")


def test_a_single_vector_is_answered_as_in_the_batch_and_a_wrong_length_is_refused() -> None:
    """The refusal's own words come back; a distance may differ in its last digits."""

    def predict(data: Any) -> Any:
        if len(data) != 3:
            raise refuse(400, "expected 3")
        return {"predictions": [{"cluster_index": 1, "distances": [0.5, 0.25 * (1 + 1e-7)]}]}

    assert invoke.check_single_vectors(predict, [1.0, 2.0, 3.0], ONE) == "expected 3"


@pytest.mark.parametrize(
    "other", [refuse(503, "loading"), ClientError({"Error": {"Code": "ThrottlingException"}}, "InvokeEndpoint")]
)
def test_only_a_bad_request_counts_as_a_refusal(other: ClientError) -> None:
    """A throttled or failing endpoint has not judged the vector."""

    def predict(data: Any) -> Any:
        if len(data) != 3:
            raise other
        return {"predictions": [ONE]}

    with pytest.raises(ClientError):
        invoke.check_single_vectors(predict, [1.0, 2.0, 3.0], ONE)


def test_a_wrong_length_that_is_answered_fails_the_run() -> None:
    """An endpoint that takes any vector is not trusted."""
    with pytest.raises(RunnerError, match="length 4 instead of 3"):
        invoke.check_single_vectors(lambda data: {"predictions": [ONE]}, [1.0, 2.0, 3.0], ONE)


@pytest.mark.parametrize("alone", [TWO, {"cluster_index": 1, "distances": [0.5, 0.26]}])
def test_a_single_vector_that_is_answered_differently_fails_the_run(alone: Any) -> None:
    """Alone or in a batch, a user belongs to the same cluster, as far from its centre."""
    with pytest.raises(RunnerError, match="a single vector was answered"):
        invoke.check_single_vectors(lambda data: {"predictions": [alone]}, [1.0, 2.0, 3.0], ONE)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]"])
def test_an_answer_that_is_no_prediction_is_shown(body: bytes) -> None:
    """The beginning of what came is in the message."""

    class FakeOther:
        def invoke_endpoint(self, **_: Any) -> Any:
            return {"Body": io.BytesIO(body)}

    with pytest.raises(RunnerError, match="not a JSON object with predictions"):
        invoke.with_boto3(FakeOther(), "endpoint", [[1.0]])
