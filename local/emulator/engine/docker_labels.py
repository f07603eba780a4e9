"""The labels on all that the Docker engine makes: whose it is, so that what a killed emulator left is known."""

from __future__ import annotations

import os
from collections.abc import Mapping

from emulator.engine.processes import start_time

PROJECT = "sagemaker-rehearsal.project"
USER = "sagemaker-rehearsal.user"
OWNER = "sagemaker-rehearsal.emulator"  # the emulator's process id and its start time
WORK = "sagemaker-rehearsal.work"
STAGE = "sagemaker-rehearsal.stage"  # in the Dockerfiles: of layers that are needed while building only
NAME = "sagemaker-rehearsal"


def labels(work: str) -> dict[str, str]:
    """The labels of something that is made for a work of this process."""
    return {PROJECT: NAME, USER: str(os.getuid()), OWNER: f"{os.getpid()}:{start_time(os.getpid())}", WORK: work}


def own_filter() -> dict[str, list[str]]:
    """What finds all that this user's emulators have made."""
    return {"label": [f"{PROJECT}={NAME}", f"{USER}={os.getuid()}"]}


def owner_lives(found: Mapping[str, str]) -> bool:
    """Whether the emulator that made it still runs."""
    pid, _, started = found.get(OWNER, "").partition(":")
    return bool(started) and pid.isdigit() and start_time(int(pid)) == started
