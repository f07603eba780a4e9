"""One run of the workflow: its name, what happens when a step fails or a signal comes, and its report."""

from __future__ import annotations

import secrets
import time
from collections.abc import MutableMapping

from runner import services
from runner.errors import RunnerError, SettingsError
from runner.progress import Progress
from runner.report import Report
from runner.settings import Settings
from runner.signals import Interrupted, shielded
from runner.workflow import OUTSIDE, Workflow


def run(
    settings: Settings, environment: MutableMapping[str, str], progress: Progress, back_end: services.Services
) -> Report:
    """Run all of it and write report.json, also when it ends early; `back_end` has begun to start.

    Raises RunnerError with the reason when a step fails, and Interrupted when a signal ends it; by then the endpoint is
    removed and what was started is stopped.
    """
    name = f"tmdb-kmeans-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    workflow = Workflow(settings, environment, progress, Report(settings.mode, name), back_end)
    workflow.progress.line(f"{name}: mode {settings.mode}, seed {settings.seed}")
    failure: BaseException | None = None
    try:
        workflow.run()
    except OUTSIDE as error:
        failure = RunnerError(f"{type(error).__name__}: {error}")
    except (Exception, Interrupted) as error:  # noqa: BLE001  # raised again below, after the clean-up
        failure = error
    with shielded():
        problems = workflow.clean_up()
    if failure is None and problems:
        failure, problems = RunnerError("\n".join(problems)), []
    for problem in problems:
        workflow.progress.line(problem)
    if failure is not None:
        workflow.report.error = "\n".join([str(failure), *problems])
    if not isinstance(failure, SettingsError):  # then nothing was done that a report could tell of
        try:
            workflow.finish()
        except RunnerError as error:
            if failure is None:
                raise
            workflow.progress.line(str(error))
    if failure is not None:
        raise failure
    return workflow.report
