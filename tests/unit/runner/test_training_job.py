"""Watching a job: each status and each log line once, and the end told as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner import training_job
from runner.errors import RunnerError


class FakeSageMaker:
    """Answers each look with the next description."""

    def __init__(self, descriptions: Sequence[dict[str, Any]]) -> None:
        self.descriptions = list(descriptions)
        self.stopped: list[str] = []

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        """The next description; the last one stays."""
        if not self.descriptions:
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}, "D"
            )
        return self.descriptions.pop(0) if len(self.descriptions) > 1 else self.descriptions[0]

    def stop_training_job(self, TrainingJobName: str) -> None:
        """Keep the name."""
        self.stopped.append(TrainingJobName)


class FakeLogs:
    """Two pages of one stream that appears at the second look, as CloudWatch Logs pages them."""

    def __init__(self) -> None:
        self.looks = 0
        self.pages = {None: (["a", "b"], "1"), "1": (["c"], "2"), "2": ([], "2")}

    def describe_log_streams(self, logGroupName: str, logStreamNamePrefix: str) -> dict[str, Any]:
        """No group at the first look."""
        self.looks += 1
        if self.looks == 1:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no group"}}, "D")
        return {"logStreams": [{"logStreamName": f"{logStreamNamePrefix}algo-1-1"}]}

    def get_log_events(self, nextToken: str | None = None, **_: Any) -> dict[str, Any]:
        """The page behind the token."""
        lines, token = self.pages[nextToken]
        return {"events": [{"message": line} for line in lines], "nextForwardToken": token}


def transitions(*statuses: str) -> list[dict[str, str]]:
    """A SecondaryStatusTransitions list."""
    return [{"Status": status, "StatusMessage": f"{status} it"} for status in statuses]


IN_PROGRESS = {"TrainingJobStatus": "InProgress", "SecondaryStatusTransitions": transitions("Starting")}
COMPLETED = {
    "TrainingJobStatus": "Completed",
    "SecondaryStatusTransitions": transitions("Starting", "Training"),
    "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/job/output/model.tar.gz"},
    "FinalMetricDataList": [{"MetricName": "train_inertia", "Value": 1.5}],
    "TrainingTimeInSeconds": 3,
}


def test_statuses_and_lines_are_said_once_and_in_order() -> None:
    """Lines of a stream that appears late are not lost, and the tokens keep them from coming twice."""
    said: list[str] = []
    client = FakeSageMaker([IN_PROGRESS, IN_PROGRESS, COMPLETED])
    result = training_job.wait((client, FakeLogs()), "job", 0.0, said.append)
    assert said == ["Starting: Starting it", "  a", "  b", "  c", "Training: Training it"]
    assert result.metrics == {"train_inertia": 1.5}
    assert result.output == "s3://bucket/job/output/output.tar.gz"


def test_a_failed_job_is_an_error_with_its_reason() -> None:
    """The script's own error reaches the reader."""
    failed = {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: no", "SecondaryStatus": "Failed"}
    with pytest.raises(RunnerError, match="job: Failed: AlgorithmError: no"):
        training_job.wait((FakeSageMaker([failed]), FakeLogs()), "job", 0.0, print)


@pytest.mark.parametrize(("descriptions", "stopped"), [([IN_PROGRESS], ["job"]), ([COMPLETED], []), ([], [])])
def test_only_a_job_that_runs_is_stopped(descriptions: list[dict[str, Any]], stopped: list[str]) -> None:
    """A job that ended, or was never made, is left alone."""
    client = FakeSageMaker(descriptions)
    training_job.stop(client, "job")
    assert client.stopped == stopped
