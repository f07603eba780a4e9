"""`python -m emulator env | status | down`: what there is to do with the emulator that runs."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping

from emulator.command_line import EXIT_FAILED, EXIT_NOT_RUNNING
from emulator.instance import InstanceFile
from emulator.settings import Settings
from emulator.shell import lines

STOP_SECONDS = 60.0  # jobs, endpoints, requests, the S3 objects that are not on disk yet: each has its share
HINT = "No emulator runs. Start it: python -m emulator up"


def env(instance: InstanceFile, variables: Mapping[str, str], *, as_json: bool) -> int:
    """Print how to reach it, for a shell that has these variables; the exit status."""
    running = instance.read()
    if running is None:
        print(HINT, file=sys.stderr)
        return EXIT_NOT_RUNNING
    if as_json:
        print(json.dumps(running.public()))
        return 0
    print("\n".join(lines(running.environment, variables)))
    return 0


def status(instance: InstanceFile, *, as_json: bool) -> int:
    """Say whether it runs; the exit status."""
    running = instance.read()
    if as_json:
        print(json.dumps({"running": running is not None, **(running.summary() if running else {})}))
    elif running is None:
        print("The emulator is starting." if instance.running() else HINT)
    else:
        print(running.describe())
    return EXIT_NOT_RUNNING if running is None else 0


def down(instance: InstanceFile, settings: Settings) -> int:
    """Stop it, wait until it is gone, and end what one that was killed left running; the exit status."""
    running = instance.read()
    if running is None and instance.running():
        print("The emulator is just starting or stopping; try again in a moment.", file=sys.stderr)
        return EXIT_FAILED
    if running is None:
        return _end_leftovers(settings) or _said("No emulator runs.")
    os.kill(running.pid, signal.SIGTERM)
    if instance.wait_until_gone(STOP_SECONDS):
        return _end_leftovers(settings) or _said("The emulator is stopped.")
    os.kill(running.pid, signal.SIGKILL)
    print(f"It did not stop within {STOP_SECONDS:g} s and was killed.", file=sys.stderr)
    return _end_leftovers(settings) if instance.wait_until_gone(5) else EXIT_FAILED


def _end_leftovers(settings: Settings) -> int:
    """What emulators that were killed left running; that of private ones that live is theirs."""
    from emulator.engine.choice import ask, end_leftovers
    from emulator.engine.processes import ProcessesLeft

    try:
        ended = end_leftovers(settings.processes_dir, ask(settings.docker_url))
    except (ProcessesLeft, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return _said(f"Ended what an emulator that was killed had left running: {', '.join(ended)}") if ended else 0


def _said(line: str) -> int:
    print(line)
    return 0
