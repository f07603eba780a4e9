"""The states of a training job, which follow which, and the changes that lead from one to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.store.port import Change, Resource

IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
TERMINAL = frozenset({COMPLETED, FAILED, STOPPED})
UNFINISHED = (IN_PROGRESS, STOPPING)

FAILURE_REASON_LIMIT = 1024  # the FailureReason shape's own maximum

# SecondaryStatus -> those that may follow. A job may fail in each of them.
FOLLOWERS: Mapping[str, frozenset[str]] = {
    "Starting": frozenset({"Starting", "Pending", "Downloading", "Restarting", "Stopping", "Failed"}),
    "Pending": frozenset({"Pending", "Downloading", "Restarting", "Stopping", "Failed"}),
    "Downloading": frozenset({"Downloading", "Training", "Restarting", "Stopping", "Failed"}),
    "Training": frozenset({"Uploading", "Restarting", "Stopping", "Failed"}),
    "Restarting": frozenset({"Starting", "Stopping", "Failed"}),
    "Stopping": frozenset({"Uploading", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Failed"}),
    "Uploading": frozenset(
        {"Completed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Restarting", "Stopping", "Failed"}
    ),
}

# AWS's own texts, as seen in the output of `estimator.fit` (2025): "2025-06-22 07:09:13 Starting - Starting …".
STARTING = "Starting the training job"
WAITING = "Training job waiting for capacity"
PREPARING = "Preparing the instances for training"
RESTARTING = "Restarting the training job after an internal error"  # the words are ours: AWS's are not published
DOWNLOADING_DATA = "Downloading input data"
DOWNLOADING_IMAGE = "Downloading the training image"
TRAINING = "Training image download completed. Training in progress."
UPLOADING = "Uploading generated training model"
STOPPING_MESSAGE = "Stopping the training job"
END_MESSAGES = {
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",  # by analogy
}
_END_STATUS = {
    "Completed": COMPLETED,
    "Failed": FAILED,
    "Stopped": STOPPED,
    "MaxRuntimeExceeded": STOPPED,
    "MaxWaitTimeExceeded": STOPPED,
}


class IllegalTransition(Exception):
    """A mistake in the life cycle: that state cannot follow this one."""


def beginning(now: datetime) -> dict[str, Any]:
    """What a new job's document says of its state."""
    transition = {"Status": "Starting", "StartTime": now, "StatusMessage": STARTING}
    return {"SecondaryStatus": "Starting", "SecondaryStatusTransitions": [transition]}


def enter(resource: Resource, secondary: str, message: str, now: datetime, **more: Any) -> Change:
    """The change to a SecondaryStatus that is not an end. The same one again only changes its message, as on AWS."""
    status = STOPPING if secondary == "Stopping" else None
    return Change(now, status, {**_moved(resource, secondary, message, now), **more})


def end(resource: Resource, secondary: str, now: datetime, **more: Any) -> Change:
    """The change to an end: Completed, Failed, Stopped or one of the times exceeded. Times are worked out here."""
    document = {**_moved(resource, secondary, END_MESSAGES[secondary], now), **more}
    document["SecondaryStatusTransitions"][-1]["EndTime"] = now
    started = resource.document.get("TrainingStartTime")
    if started is not None:
        seconds = max(0, round((now - started).total_seconds()))
        document |= {
            "TrainingEndTime": now,
            "TrainingTimeInSeconds": max(1, seconds),  # the least that the shape allows
            "BillableTimeInSeconds": max(1, seconds),
        }
    return Change(now, _END_STATUS[secondary], document)


def algorithm_error(failure: str | None, last_line: str, code: int) -> str:
    """FailureReason of a container that failed, as AWS composes it: "AlgorithmError: …, exit code: 1".

    Where the container left no failure file AWS says nothing at all ("AlgorithmError: , exit code: 1"); here the last
    line of its log stands in that place.
    """
    start, finish = "AlgorithmError: ", f", exit code: {code}"
    room = FAILURE_REASON_LIMIT - len(start) - len(finish)
    return start + (failure or last_line).strip()[:room] + finish


def _moved(resource: Resource, secondary: str, message: str, now: datetime) -> dict[str, Any]:
    current = resource.document["SecondaryStatus"]
    if secondary not in FOLLOWERS.get(current, frozenset()):
        raise IllegalTransition(f"{resource.name}: {secondary} cannot follow {current}")
    transitions: list[dict[str, Any]] = [dict(t) for t in resource.document["SecondaryStatusTransitions"]]
    if secondary == current:
        transitions[-1]["StatusMessage"] = message
    else:
        transitions[-1].setdefault("EndTime", now)
        transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
    return {"SecondaryStatus": secondary, "SecondaryStatusTransitions": transitions}
