"""One job through one engine, as its user runs it, and all that came of it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import rehearsal
from rehearsal import ROOT, SMALL, settings

SCRIPTS = Path(__file__).with_name("script")
EMULATOR = (sys.executable, "-m", "emulator")
PROBE = SCRIPTS / "probe.py"
EMULATED_BY = {"venv": "venv", "docker": "docker", "sdk": "docker"}  # whose S3 the engine's containers use


@dataclass(frozen=True)
class Outcome:
    """What a run left."""

    engine: str
    report: dict[str, Any] = field(repr=False)
    probe: dict[str, Any] = field(repr=False)  # what script/probe.py wrote
    model: dict[str, bytes] = field(repr=False)  # the files of model.tar.gz
    output: dict[str, bytes] = field(repr=False)  # of output.tar.gz
    centres: dict[str, Any] = field(repr=False)  # the variables of the SavedModel, by name

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by step."""
        return {step["name"]: step["seconds"] for step in self.report["steps"]}


def source_folder(folder: Path) -> Path:
    """The project's entry point, with the probe beside it; returns the probe."""
    folder.mkdir(parents=True)
    for script in (*(ROOT / "entry_point").glob("*.py"), PROBE):
        shutil.copyfile(script, folder / script.name)
    return folder / PROBE.name


@contextmanager
def shared_emulator(folder: Path, engine: str) -> Iterator[dict[str, Any]]:
    """An emulator that outlives a run, so that what the run left in S3 can be read; gives its `env --json`."""

    def emulator(*arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = rehearsal.emulator(folder, *arguments, docker=engine != "venv")
        assert done.returncode == 0, done.stderr
        return done.stdout

    emulator("up", "--engine", EMULATED_BY[engine])
    try:
        yield json.loads(emulator("env", "--json"))
    finally:
        emulator("down")


def run(engine: str, folder: Path, tensorflow: Path) -> Outcome:
    """Run the job; `tensorflow` is a Python that has TensorFlow.

    Fails the test with all that was printed when the run does not get through.
    """
    script = source_folder(folder / "source")
    with shared_emulator(folder, engine) as emulator:
        started = rehearsal.start(folder, **settings(**SMALL, engine=engine, entry_point_script=str(script)))
        try:
            assert started.finish() == 0, f"--engine {engine}:\n{started.output}"
        finally:
            started.process.kill()
        report = started.report
        artifact = report["training"]["model_artifact"]
        s3 = _s3_client(emulator["environment"])
        model = _archive(s3, artifact)
        output = _archive(s3, artifact.replace("model.tar.gz", "output.tar.gz"))
    (probe,) = (content for name, content in output.items() if Path(name).name == "probe.json")
    return Outcome(engine, report, json.loads(probe), model, output, variables_of(model, folder / "model", tensorflow))


def variables_of(model: dict[str, bytes], folder: Path, tensorflow: Path) -> dict[str, Any]:
    """The variables of the one SavedModel in these files, read by TensorFlow's own reader (see script/centres.py)."""
    for name, content in model.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content)
    (index,) = folder.rglob("variables.index")
    command = [str(tensorflow), str(SCRIPTS / "centres.py"), str(index.with_suffix(""))]
    done = subprocess.run(command, env=rehearsal.environment(folder), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    variables: dict[str, Any] = json.loads(done.stdout)
    return variables


def _s3_client(variables: dict[str, str]) -> Any:
    session = boto3.session.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    return session.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"])


def _archive(s3: Any, uri: str) -> dict[str, bytes]:
    """The files of a .tar.gz by name; folders have no content, and a slash at their end."""
    place = urlsplit(uri)
    content = io.BytesIO(s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read())
    files = {}
    with tarfile.open(fileobj=content, mode="r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            files[member.name + ("/" if member.isdir() else "")] = file.read() if file else b""
    return files
