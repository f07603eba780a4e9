"""Watching a job: each status and each log line once, and the end told as it was."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner import training_job
from runner.errors import RunnerError


class FakeSageMaker:
    """Answers each look with the next description."""

    def __init__(self, descriptions: Sequence[dict[str, Any]], refusal: str = "") -> None:
        self.descriptions = list(descriptions)
        self.refusal = refusal
        self.stopped: list[str] = []

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        """The next description; the last one stays."""
        if not self.descriptions:
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}, "D"
            )
        return self.descriptions.pop(0) if len(self.descriptions) > 1 else self.descriptions[0]

    def stop_training_job(self, TrainingJobName: str) -> None:
        """Keep the name, or refuse."""
        if self.refusal:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": self.refusal}}, "StopTrainingJob")
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


class FakeHeldSageMaker(FakeSageMaker):
    """Holds its answers back, from the second on, until a line was said."""

    def __init__(self, descriptions: Sequence[dict[str, Any]]) -> None:
        super().__init__(descriptions)
        self.told = threading.Event()
        self.asked = 0

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        """The next description, when it is time."""
        self.asked += 1
        if self.asked > 1:
            assert self.told.wait(10), "the log waits for the description"
        return super().describe_training_job(TrainingJobName)


def test_lines_do_not_wait_for_the_status() -> None:
    """A description may be held back for seconds; what the job says meanwhile is read all the same."""
    client, said = FakeHeldSageMaker([IN_PROGRESS, COMPLETED]), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if line == "  c":
            client.told.set()

    training_job.wait((client, FakeLogs()), "job", 0.01, say)
    assert said == ["Starting: Starting it", "  a", "  b", "  c", "Training: Training it"]


def test_a_description_that_cannot_be_had_is_raised() -> None:
    """In the thread of whoever waits."""
    with pytest.raises(ClientError, match="Requested resource not found"):
        training_job.wait((FakeSageMaker([]), FakeLogs()), "job", 0.01, print)


def test_an_interruption_does_not_wait_for_the_status() -> None:
    """Ctrl-C while a description is held back ends it at once."""
    client = FakeHeldSageMaker([IN_PROGRESS, COMPLETED])

    def say(line: str) -> None:
        if line == "  c":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training_job.wait((client, FakeLogs()), "job", 0.01, say)
    assert not client.told.is_set()
    client.told.set()


def test_statuses_and_lines_are_said_once_and_in_order() -> None:
    """Lines of a stream that appears late are not lost, and the tokens keep them from coming twice."""
    said: list[str] = []
    client = FakeSageMaker([IN_PROGRESS, IN_PROGRESS, COMPLETED])
    result = training_job.wait((client, FakeLogs()), "job", 0.01, said.append)
    assert [line for line in said if line.startswith(" ")] == ["  a", "  b", "  c"]
    assert [line for line in said if not line.startswith(" ")] == ["Starting: Starting it", "Training: Training it"]
    assert result.metrics == {"train_inertia": 1.5}
    assert result.output == "s3://bucket/job/output/output.tar.gz"


def test_a_failed_job_is_an_error_with_its_reason() -> None:
    """The script's own error reaches the reader."""
    failed = {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: no", "SecondaryStatus": "Failed"}
    with pytest.raises(RunnerError, match="job: Failed: AlgorithmError: no"):
        training_job.wait((FakeSageMaker([failed]), FakeLogs()), "job", 0.01, print)


def test_a_log_that_cannot_be_read_does_not_end_the_job() -> None:
    """Without the permission for CloudWatch Logs, statuses and results are there all the same; it is said once."""

    class FakeForbiddenLogs:
        def describe_log_streams(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeLogStreams")

    said: list[str] = []
    client = FakeSageMaker([IN_PROGRESS, IN_PROGRESS, COMPLETED])
    result = training_job.wait((client, FakeForbiddenLogs()), "job", 0.01, said.append)
    assert result.metrics == {"train_inertia": 1.5}
    assert [line for line in said if "cannot be read" in line] == [
        "  (the job's log cannot be read: An error occurred (AccessDeniedException) when calling the "
        "DescribeLogStreams operation: no)"
    ]


def test_a_job_that_runs_is_stopped() -> None:
    """A run that is cut short must not go on costing money."""
    client = FakeSageMaker([IN_PROGRESS])
    training_job.stop(client, "job")
    assert client.stopped == ["job"]


@pytest.mark.parametrize(
    "answer",
    [
        "Requested resource not found.",
        "The request was rejected because the training job is in status Completed.",
        "The request was rejected because the training job is in status Stopping.",
    ],
)
def test_a_job_that_was_never_made_or_has_ended_needs_no_stop(answer: str) -> None:
    """AWS's own answers for these are no error here."""
    training_job.stop(FakeSageMaker([], refusal=answer), "job")


def test_a_job_that_cannot_be_stopped_is_told_with_the_command_that_does() -> None:
    """An expired token, say: the user must know that the job may still run."""
    with pytest.raises(RunnerError, match=r"may still run.*aws sagemaker stop-training-job --training-job-name job"):
        training_job.stop(FakeSageMaker([], refusal="The security token included in the request is expired"), "job")
