"""Containers that misbehave: each ends in the status and with the reason that AWS shows, and the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from emulated import catalogue, command
from machine import (
    Machine,
    create_endpoint,
    create_job,
    create_model,
    ended,
    invoke,
    store_words,
    train_model,
    wait_for_endpoint,
)
from rehearsal import environment, poll, processes_of

Start = Callable[..., Machine]
LINES = 100_000


def test_one_that_floods_its_log(start: Start, engine: str) -> None:
    """100,000 lines: every one of them can be read, in order, and another job is not kept waiting."""
    machine = start(engine=engine)
    data = store_words(machine)
    create_job(machine, "flood", None, lines=str(LINES))
    create_job(machine, "other", data)
    assert ended(machine, "other")["TrainingJobStatus"] == "Completed"
    assert ended(machine, "flood")["TrainingJobStatus"] == "Completed"
    logs = machine.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="flood/")["logStreams"]
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, limit=10_000, **token
        )
        if not page["events"]:
            break
        found += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    assert [line for line in found if line.startswith("line ")] == [f"line {number}" for number in range(LINES)]


def test_one_that_ends_at_once(start: Start, engine: str) -> None:
    """A job: Failed with its exit code. An endpoint: Failed with what it said; deleted, its name is free."""
    machine = start(engine=engine)
    create_job(machine, "quitter", None, program="import sys; sys.exit(3)")
    description = ended(machine, "quitter")
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("AlgorithmError")
    assert "exit code: 3" in description["FailureReason"]

    create_model(machine, "quitter", CRASH="yes")
    sagemaker = machine.client("sagemaker")
    sagemaker.create_endpoint(EndpointName="quitter", EndpointConfigName="quitter")
    wait_for_endpoint(machine, "quitter", "Failed")
    assert "health check" in sagemaker.describe_endpoint(EndpointName="quitter")["FailureReason"]
    sagemaker.delete_endpoint(EndpointName="quitter")
    wait_for_endpoint(machine, "quitter", "")


def test_one_that_ignores_sigterm(start: Start, engine: str) -> None:
    """A stop of the emulator does not wait for it: within seconds it is killed, and the job is Stopped."""
    machine = start(engine=engine)
    create_job(machine, "stubborn", store_words(machine), hang="stubbornly")
    logs = machine.client("logs")

    def hangs() -> bool:
        groups = logs.describe_log_groups()["logGroups"]
        return bool(groups) and "hanging" in json.dumps(
            logs.filter_log_events(logGroupName=groups[0]["logGroupName"])["events"]
        )

    poll(hangs, "the script", 60)
    begin = time.monotonic()
    machine.stop()
    assert time.monotonic() - begin < 20
    assert machine.left() == []
    machine.up()
    assert ended(machine, "stubborn")["TrainingJobStatus"] == "Stopped"


def test_a_server_that_dies_is_nobody_elses_business(start: Start) -> None:
    """Killed from outside it is started again, and another endpoint serves all the time."""
    machine = start()
    model = train_model(machine)
    for name in ("dying", "living"):
        create_model(machine, name, model)
        create_endpoint(machine, name)
    (line,) = [line for line in processes_of(Path("endpoint-dying")) if "serve.py" in line]
    os.kill(int(line.partition(":")[0]), signal.SIGKILL)
    for _ in range(20):
        assert invoke(machine, "living")["words"] == ["hello"]

    def back() -> bool:
        try:
            return invoke(machine, "dying")["words"] == ["hello"]
        except ClientError:
            return False

    poll(back, "it is back", 40)


@pytest.mark.parametrize("moment", [0.0, 0.15, 0.3, 0.6, 1.0])
def test_sigterm_while_it_starts(tmp_path: Path, moment: float) -> None:
    """However far a start has come, SIGTERM ends it within seconds, cleanly, with nothing left."""
    machine = Machine(tmp_path)
    process = subprocess.Popen(
        command("up", "--foreground", "--images", str(catalogue(tmp_path))),
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    begin = time.monotonic()
    poll(lambda: time.monotonic() > begin + moment, "the moment", 10)
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert "Traceback" not in said
    # Before Python has come to our first line, the kernel's own way of ending a process is all there is.
    assert process.returncode in (0, -signal.SIGTERM)
    assert machine.left() == []
