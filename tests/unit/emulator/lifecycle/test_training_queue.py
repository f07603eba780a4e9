"""More jobs than run at once: they wait in Pending, first come, first served, and are lost by nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from emulator.engine.fake import History
from emulator.lifecycle.training import TrainingJobs
from emulator.operations import OPERATIONS
from emulator.store.port import Kind, Resource

Make = Callable[..., SimpleNamespace]
Request = Callable[..., dict[str, Any]]
WAITS = History(lines=("go",), runs_until_stopped=True)


def create(made: SimpleNamespace, request: Request, *names: str) -> None:
    """CreateTrainingJob, one after the other."""
    for name in names:
        OPERATIONS["CreateTrainingJob"](made.context, request(name))
        made.clock.advance(1)


def job(made: SimpleNamespace, name: str) -> Resource:
    """The job as it is now."""
    found: Resource = made.store.get(Kind.TRAINING_JOB, name)
    return found


def until(made: SimpleNamespace, name: str, secondary: str) -> Resource:
    """The job, once it has that SecondaryStatus."""
    made.poll(lambda: job(made, name).document["SecondaryStatus"] == secondary, f"{name}: {secondary}")
    return job(made, name)


def stop(made: SimpleNamespace, name: str) -> None:
    """StopTrainingJob."""
    OPERATIONS["StopTrainingJob"](made.context, {"TrainingJobName": name})


def test_first_come_first_served(emulator: Make, job_request: Request) -> None:
    """At most so many run; the next begins when one ends, in the order in which they were created."""
    made = emulator(WAITS, at_once=2)
    create(made, job_request, "a", "b", "c", "d")
    for name in "ab":
        until(made, name, "Training")
    for name in "cd":
        waiting = job(made, name)
        assert (waiting.status, waiting.document["SecondaryStatus"]) == ("InProgress", "Pending")
        assert (
            waiting.document["SecondaryStatusTransitions"][-1]["StatusMessage"] == "Training job waiting for capacity"
        )
    made.poll(lambda: all(made.logs.lines.values()), "the containers' first lines")
    stop(made, "b")
    started = until(made, "c", "Training")
    assert [t["Status"] for t in started.document["SecondaryStatusTransitions"]] == [
        "Starting",
        "Pending",
        "Downloading",
        "Training",
    ]
    assert started.document["SecondaryStatusTransitions"][1]["StatusMessage"] == "Preparing the instances for training"
    assert job(made, "d").document["SecondaryStatus"] == "Pending"
    made.poll(lambda: len(made.engine.started) > 2, "the third container")  # Training is said just before
    assert [container.work.name.split("/")[1] for container in made.engine.started][2:] == ["c"]


def test_a_job_that_waits_can_be_stopped(emulator: Make, job_request: Request) -> None:
    """At once, and nothing of it ever runs; it leaves its place to the next."""
    made = emulator(WAITS, at_once=1)
    create(made, job_request, "a", "b", "c")
    until(made, "a", "Training")
    stop(made, "b")
    stopped = job(made, "b")
    assert stopped.status == "Stopped"
    assert [t["Status"] for t in stopped.document["SecondaryStatusTransitions"]] == [
        "Starting",
        "Pending",
        "Stopping",
        "Stopped",
    ]
    assert "TrainingStartTime" not in stopped.document
    made.poll(lambda: all(made.logs.lines.values()), "the container's first line")
    stop(made, "a")
    until(made, "c", "Training")
    assert len(made.engine.started) == 2


def test_a_job_that_is_stopped_before_it_is_begun(emulator: Make, job_request: Request) -> None:
    """Between being stored and being started somebody may stop it: it ends Stopped, with a free place and without."""
    made = emulator(WAITS, at_once=1)
    for name in "ab":
        document = {
            **job_request(name),
            "SecondaryStatus": "Stopping",
            "SecondaryStatusTransitions": [{"Status": "Stopping", "StartTime": made.clock.now(), "StatusMessage": ""}],
        }
        now = made.clock.now()
        made.store.create(Resource(Kind.TRAINING_JOB, name, f"arn:{name}", now, now, document, "Stopping"), {})
    made.jobs.start("a")
    until(made, "a", "Stopped")
    create(made, job_request, "c")
    until(made, "c", "Training")
    made.jobs.start("b")
    until(made, "b", "Stopped")
    assert len(made.engine.started) == 1


def test_what_waited_goes_on_at_the_next_start(emulator: Make, job_request: Request) -> None:
    """A clean stop leaves it as it is; the next emulator starts it, in the old order, and fails what had begun."""
    made = emulator(WAITS, at_once=1)
    create(made, job_request, "z", "y", "x")
    until(made, "z", "Training")
    made.jobs.shut_down(5)
    assert job(made, "z").status == "Stopped"
    assert [job(made, name).document["SecondaryStatus"] for name in "yx"] == ["Pending", "Pending"]
    following = TrainingJobs(made.services, 1)
    following.settle()
    until(made, "y", "Training")
    assert job(made, "x").document["SecondaryStatus"] == "Pending"
    # That one is killed, and another comes.
    last = TrainingJobs(made.services, 1)
    last.settle()
    assert "The emulator ended while the job was running" in until(made, "y", "Failed").document["FailureReason"]
    until(made, "x", "Training")
    for jobs in (following, last):
        jobs.shut_down(5)


def test_fifty_jobs_one_after_the_other(emulator: Make, job_request: Request) -> None:
    """Each runs, and at no moment more than the limit."""
    most = 0

    def look(_work: Any) -> None:
        nonlocal most
        most = max(most, sum(container.alive() for container in made.engine.started))

    made = emulator(History(lines=("go",), act=look), at_once=3)
    names = [f"job-{number}" for number in range(50)]
    create(made, job_request, *names)
    for name in names:
        until(made, name, "Completed")
    assert 1 <= most <= 3
    assert len(made.engine.started) == 50
