"""Stopping: who gets SIGTERM, who is let end in order, and what is kept; with AWS's own `train` in our image."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated import BUCKET, IMAGE, Emulated, job_request, log_lines, private_emulator, unique, wait_for_job
from rehearsal import ROOT, poll

from emulator.engine.docker import DockerEngine
from emulator.engine.docker_images import Images
from emulator.engine.port import Container, Exited, Line, Work
from emulator.images import Catalogue

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(1800)]
Training = Callable[..., Work]

# A program that starts another and waits for it without a thought for signals, as AWS's toolkit does with a script.
PARENT = "import subprocess, sys\nsys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
POLITE = """
import signal, sys, time
def end(*_):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(1000)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(1000)
"""
HEEDLESS = """
import time
print("ready", flush=True)
time.sleep(1000)
"""
SCRIPT = """
import os, pathlib, signal, sys, time
def end(*_):
    time.sleep(0.5)
    pathlib.Path(os.environ["SM_MODEL_DIR"], "checkpoint.txt").write_text("half-way")
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(1000)
"""


def started(container: Container) -> tuple[list[str], list[int], threading.Thread]:
    """Its lines and its code, which a thread goes on to read; returns when it has said that it is ready."""
    lines: list[str] = []
    codes: list[int] = []

    def read() -> None:
        for event in container.events():
            if isinstance(event, Line):
                lines.append(event.text)
            elif isinstance(event, Exited):
                codes.append(event.code)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    poll(lambda: "ready" in lines, "the program is ready", 60)
    return lines, codes, reader


@pytest.mark.parametrize(
    ("child", "grace", "code", "saved"),
    [(POLITE, 60, 0, True), (STUBBORN, 1, 137, False), (HEEDLESS, 60, 143, False)],
    ids=["polite", "stubborn", "heedless"],
)
def test_what_a_heedless_program_has_started(
    engine: DockerEngine, training: Training, child: str, grace: float, code: int, saved: bool
) -> None:
    """It gets SIGTERM, and the time to heed it; its parent, which would end the container, does not cut it off."""
    container = engine.start(training(hyperparameters={"program": PARENT.format(child=child)}))
    lines, codes, reader = started(container)
    before = time.monotonic()
    container.stop(grace)
    took = time.monotonic() - before
    reader.join(10)
    assert (codes, "saved" in lines) == ([code], saved)
    assert took >= grace if child is STUBBORN else took < grace


@pytest.fixture(scope="module")
def emulated(docker_daemon: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """An emulator with the project's own images."""
    flags = ["--images", str(ROOT / "docker/images.toml")]
    with private_emulator(tmp_path_factory.mktemp("docker"), flags, engine="docker") as emulated:
        yield emulated


def test_a_script_under_awss_toolkit_can_save_its_model(emulated: Emulated) -> None:
    """StopTrainingJob: the script gets SIGTERM and takes its time; what it saved is uploaded; the job is Stopped."""
    s3, sagemaker, name = emulated.client("s3"), emulated.client("sagemaker"), unique("saving")
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w:gz") as tar:
        member = tarfile.TarInfo("script.py")
        member.size = len(SCRIPT)
        tar.addfile(member, io.BytesIO(SCRIPT.encode()))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="sourcedir.tar.gz", Body=source.getvalue())
    script = {"sagemaker_program": '"script.py"', "sagemaker_submit_directory": f'"s3://{BUCKET}/sourcedir.tar.gz"'}
    sagemaker.create_training_job(**job_request(name, None, **script))
    poll(lambda: "ready" in log_lines(emulated, "/aws/sagemaker/TrainingJobs", name), "the script is at work", 1500)
    sagemaker.stop_training_job(TrainingJobName=name)
    job = wait_for_job(sagemaker, name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    lines = log_lines(emulated, "/aws/sagemaker/TrainingJobs", name)
    assert "saved" in lines
    assert any("Reporting training SUCCESS" in line for line in lines), "the toolkit, too, came to its end"
    body = s3.get_object(Bucket=BUCKET, Key=f"models/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["checkpoint.txt"]


def test_a_script_under_awss_toolkit_that_ignores_it(docker_daemon: Any, training: Training, tmp_path: Path) -> None:
    """It goes on until the grace is over, and is killed then."""
    catalogue = Catalogue.load(ROOT / "docker/images.toml")
    engine = DockerEngine(docker_daemon, Images(docker_daemon.client, catalogue, ROOT, tmp_path, print))
    code = "/opt/ml/input/data/code"
    script = {"sagemaker_program": "script.py", "sagemaker_submit_directory": code}
    work = training(IMAGE, hyperparameters={name: json.dumps(value) for name, value in script.items()})
    (work.base_dir / code.removeprefix("/opt/ml/")).mkdir()
    (work.base_dir / code.removeprefix("/opt/ml/") / "script.py").write_text(STUBBORN)
    container = engine.start(replace(work, environment={"AWS_REGION": "us-east-1"}))
    _, codes, reader = started(container)
    before = time.monotonic()
    container.stop(2)
    assert 2 <= time.monotonic() - before < 60
    reader.join(10)
    assert codes == [137]
