"""One engine in a process of its own: the runner's workflow, set up once, then trained, served and asked in turns."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
from rich.console import Console

from runner import config, services, sm_learner
from runner.invoke import request_for
from runner.progress import Progress
from runner.report import Report
from runner.sm_learner import sdk
from runner.workflow import Workflow

ROOT = Path(__file__).parents[1]
AS_IT_COMES = "sdk-as-it-comes"  # as the SDK is without the runner's `quicken`
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"
MARK = re.compile(r"\[mark\] (\w+) ([\d.]+)")
SERVER = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO (Listening|Ready)")


@dataclass
class Bench:
    """What stays up between two measurements."""

    workflow: Workflow
    channels: dict[str, str]
    folder: tempfile.TemporaryDirectory[str]
    printed: io.StringIO
    number: int = 0


_benches: list[Bench] = []  # of this process: at most one


def set_up(engine: str, flags: list[str]) -> str:
    """Start the services, upload the data and run the job once, so that all is warm; returns the engine's name."""
    folder = tempfile.TemporaryDirectory(prefix=f"benchmark-{engine}-")
    place = Path(folder.name)
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        os.environ[variable] = str(place / "state")  # an emulator of the user's own is left alone
    os.environ.update(TZ="UTC", SAGEMAKER_SUPPRESS_V2_WARNING="1")
    time.tzset()
    source = place / "source"
    source.mkdir()
    for script in (*(ROOT / "entry_point").glob("*.py"), ROOT / "benchmarks" / "marked.py"):
        shutil.copyfile(script, source / script.name)
    paths = {"generated_data_path": "generated", "training_data_path": "matrix", "report_dir": "report"}
    variables = {f"REHEARSAL_{name.upper()}": str(place / path) for name, path in paths.items()}
    variables["REHEARSAL_ENTRY_POINT_SCRIPT"] = str(source / "marked.py")
    if engine == AS_IT_COMES:
        sm_learner.quicken = lambda: None  # type: ignore[assignment]
    engine = "sdk" if engine == AS_IT_COMES else engine
    arguments = ["--mode", "local", "--engine", engine, "--config", str(ROOT / "runner.toml"), *flags]
    settings = config.load(arguments, variables)
    printed = io.StringIO()
    sys.stdout = printed  # the SDK's local mode writes its containers' lines there
    back_end = services.choose(settings, os.environ)
    progress, report = Progress(Console(file=printed)), Report(settings.mode, "set-up")
    workflow = Workflow(settings, os.environ, progress, report, back_end)
    workflow.cleanups.append(workflow.stop)
    bench = Bench(workflow, {}, folder, printed)
    _benches.append(bench)
    back_end.start()
    workflow.prepare()
    with workflow.matrix_folder():
        files = workflow.preprocess()
        workflow.connect()
        bench.channels = workflow.upload(files)
    sdk("sagemaker.tensorflow")
    measure()
    return str(workflow.report.engine)


def tear_down() -> list[str]:
    """Stop the services; returns what failed."""
    problems = []
    while _benches:
        bench = _benches.pop()
        problems += bench.workflow.clean_up()
        bench.folder.cleanup()
    return problems


def measure() -> dict[str, float]:
    """Train, deploy, ask once and remove; returns when what happened, in seconds since the beginning."""
    (bench,) = _benches
    workflow = bench.workflow
    bench.number += 1
    workflow.report.run_name = f"engines-{os.getpid()}-{bench.number}"
    bench.printed.seek(0)
    bench.printed.truncate()
    began = time.time()
    workflow.train(bench.channels)
    trained = time.time()
    workflow.deploy()
    deployed = time.time()
    workflow.platform.learner.predict(request_for(workflow.users.matrix))
    answered = time.time()
    marks = {"train returns": trained, "deploy returns": deployed, "first answer": answered}
    marks |= dict(_marks_of_the_job(workflow, bench.printed.getvalue()))
    marks |= dict(_marks_of_containers(workflow, Path(bench.folder.name), began, trained))
    workflow.remove()  # after which all of the endpoint's lines can be read
    marks |= dict(_marks_of_the_endpoint(workflow, bench.printed.getvalue()))
    return {mark: at - began for mark, at in marks.items()}


def _marks_of_the_job(workflow: Workflow, printed: str) -> Iterator[tuple[str, float]]:
    """What the script said, and the job's own transitions where it has some."""
    for found in MARK.finditer(printed):
        yield found[1], float(found[2])
        if found[1] == "ended":
            assert workflow.report.training
            yield "trained", float(found[2]) - workflow.report.training["metrics"]["evaluation_and_export_seconds"]
    job = workflow.platform.clients.sagemaker.describe_training_job(TrainingJobName=workflow.report.run_name)
    for transition in job.get("SecondaryStatusTransitions", ()):
        yield f"status {transition['Status']}", transition["StartTime"].timestamp()


def _marks_of_containers(workflow: Workflow, folder: Path, began: float, trained: float) -> Iterator[tuple[str, float]]:
    """When Docker started and ended them; nothing without."""
    if workflow.report.engine == "venv":
        return
    client = docker.from_env()
    try:
        for event in client.events(since=f"{began:.3f}", until=f"{time.time():.3f}", decode=True):
            if event.get("Type") != "container" or not _is_ours(event, workflow.report.run_name, folder):
                continue
            at = event["timeNano"] / 1e9
            if event["Action"] == "start":
                yield ("container starts" if at < trained else "endpoint's container starts"), at
            elif event["Action"] == "die" and at < trained:
                yield "container ends", at
    finally:
        client.close()


def _is_ours(event: Mapping[str, Any], name: str, folder: Path) -> bool:
    """The emulator labels its containers with the job or endpoint; Docker Compose with the SDK's folder."""
    return any(name in value or str(folder) in value for value in event["Actor"]["Attributes"].values())


def _marks_of_the_endpoint(workflow: Workflow, printed: str) -> Iterator[tuple[str, float]]:
    """When the server listened, and when it had its model."""
    if workflow.platform.answers_cli:  # behind the API, with logs
        logs, group = workflow.platform.clients.logs, f"{ENDPOINT_LOGS}/{workflow.report.run_name}"
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
            events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
            printed += "".join(f"{event['message']}\n" for event in events["events"])
    for found in SERVER.finditer(printed):
        at = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
        yield f"server: {found[2]}", at.timestamp()
