"""RetryStrategy: an internal error begins the job again, nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from emulator.engine.fake import History
from emulator.engine.port import Work
from emulator.operations import OPERATIONS
from emulator.store.port import Kind, Resource

Make = Callable[..., SimpleNamespace]
Request = Callable[..., dict[str, Any]]


def run(made: SimpleNamespace, request: dict[str, Any]) -> Resource:
    """The job, once it has ended."""
    OPERATIONS["CreateTrainingJob"](made.context, request)
    made.poll(lambda: made.store.get(Kind.TRAINING_JOB, "job").status in {"Completed", "Failed"}, "the job's end")
    found: Resource = made.store.get(Kind.TRAINING_JOB, "job")
    return found


def breaking_down(times: int) -> Callable[[Work], None]:
    """A container whose engine fails so many times; each attempt begins with an empty tree."""
    attempts = iter(range(times))

    def act(work: Work) -> None:
        assert not list((work.base_dir / "model").iterdir())
        (work.base_dir / "model" / "words").write_text("x", "utf-8")
        if next(attempts, None) is not None:
            raise RuntimeError("the instance is gone")

    return act


def phases(job: Resource) -> list[str]:
    """The statuses that it went through."""
    return [t["Status"] for t in job.document["SecondaryStatusTransitions"]]


def test_an_internal_error_is_tried_again(emulator: Make, job_request: Request) -> None:
    """As often as was asked for; the time that it took began with the first attempt."""
    made = emulator(History(act=breaking_down(2)))
    job = run(made, job_request(RetryStrategy={"MaximumRetryAttempts": 2}))
    assert job.status == "Completed"
    begun = ["Starting", "Downloading", "Training"]
    assert phases(job) == [*begun, "Restarting", *begun, "Restarting", *begun, "Uploading", "Completed"]
    assert job.document["TrainingStartTime"] == made.clock.now()
    assert "FailureReason" not in job.document
    assert OPERATIONS["DescribeTrainingJob"](made.context, {"TrainingJobName": "job"})["RetryStrategy"] == {
        "MaximumRetryAttempts": 2
    }


def test_it_fails_when_all_attempts_have(emulator: Make, job_request: Request) -> None:
    """The last error is the reason."""
    made = emulator(History(act=breaking_down(9)))
    job = run(made, job_request(RetryStrategy={"MaximumRetryAttempts": 1}))
    assert phases(job).count("Restarting") == 1
    assert "the instance is gone" in job.document["FailureReason"]
    assert len(made.engine.started) == 2


def test_a_host_that_is_lost_is_tried_again(emulator: Make, job_request: Request) -> None:
    """Nobody knows what became of it: that is no failure of the script."""
    made = emulator(History(lost="The Docker daemon does not answer"))
    job = run(made, job_request(RetryStrategy={"MaximumRetryAttempts": 1}))
    assert len(made.engine.started) == 2
    assert [network.closed for network in made.engine.networks] == [True, True]
    assert job.document["FailureReason"].startswith("InternalServerError")


def test_a_script_that_fails_is_not_tried_again(emulator: Make, job_request: Request) -> None:
    """It would fail again."""
    made = emulator(History(code=1))
    job = run(made, job_request(RetryStrategy={"MaximumRetryAttempts": 3}))
    assert job.document["FailureReason"].startswith("AlgorithmError")
    assert len(made.engine.started) == 1


def test_no_time_is_left_for_another_attempt(emulator: Make, job_request: Request) -> None:
    """MaxRuntimeInSeconds is for all attempts together."""

    def act(work: Work) -> None:
        made.clock.advance(601)
        raise RuntimeError("the instance is gone")

    made = emulator(History(act=act))
    run(made, job_request(RetryStrategy={"MaximumRetryAttempts": 3}))
    assert len(made.engine.started) == 1
