"""How long an emulator takes to be ready, and what memory it has then: without LocalStack, with it, and with objects.

Each start is a process of its own with a new state folder, as `python -m emulator up --foreground` makes it. "ready" is
the line that it prints when it answers; "CPU" is what it has computed until then, which other load changes less;
memory is the emulator's own (VmRSS), when it is ready and when each service was asked once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from platformdirs import user_cache_dir

from emulator.environments import Environments
from emulator.localstack import LocalStack
from emulator.snapshot.files import Entry, Files

ROOT = Path(__file__).parents[1]
APP = "sagemaker-rehearsal"
OBJECT_BYTES = 1000


@dataclass(frozen=True)
class Start:
    """One of them."""

    seconds: float
    cpu: float  # seconds
    megabytes: float  # when it is ready
    used_megabytes: float  # when each service has been asked


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5, metavar="N")
    options.add_argument("--objects", type=int, default=10_000, metavar="N", help="in the snapshot of the last row")
    given = options.parse_args()
    print("| start | ready, median (all), s | CPU, s | MB when ready | MB in use |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="benchmark-start-") as folder:
        with localstack(Path(folder)) as url:
            named = ["--s3-endpoint", url]
            show("without LocalStack", [start(Path(folder) / f"a{n}", named) for n in range(given.runs)])
        show("with LocalStack", [start(Path(folder) / f"b{n}", []) for n in range(given.runs)])
        show(f"with LocalStack and {given.objects} objects", [restore(Path(folder) / "c", given.objects)])
    return 0


def show(name: str, starts: list[Start]) -> None:
    """A row."""
    seconds = [each.seconds for each in starts]
    every = ", ".join(f"{each:.2f}" for each in seconds)
    columns = zip(*((each.cpu, each.megabytes, each.used_megabytes) for each in starts), strict=True)
    cpu, megabytes, used = (statistics.median(column) for column in columns)
    print(
        f"| {name} | {statistics.median(seconds):.2f} ({every}) | {cpu:.2f} | {megabytes:.0f} | {used:.0f} |",
        flush=True,
    )


@contextmanager
def localstack(folder: Path) -> Iterator[str]:
    """The URL of a LocalStack that runs already."""
    environments = Environments(Path(user_cache_dir(APP)) / "environments", print)
    program = LocalStack(environments, ROOT / "local/localstack/requirements.txt", folder / "localstack", folder / "p")
    try:
        yield program.start()
    finally:
        program.stop()


def start(home: Path, flags: list[str]) -> Start:
    """Start one, ask it something, and stop it."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "XDG_STATE_HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "emulator", "up", "--foreground", "--engine", "venv", *flags]
    begin = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        answer = json.loads(process.stdout.readline())
        seconds = time.perf_counter() - begin
        try:
            cpu, megabytes = computed(process.pid), resident(process.pid)
            use(answer["environment"])
            return Start(seconds, cpu, megabytes, resident(process.pid))
        finally:
            process.terminate()


def use(variables: dict[str, str]) -> None:
    """Ask each service once."""
    session = boto3.session.Session(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_REGION"]
    )
    for service, operation in (
        ("sagemaker", "list_training_jobs"),
        ("s3", "list_buckets"),
        ("sts", "get_caller_identity"),
    ):
        getattr(session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"]), operation)()


def restore(home: Path, objects: int) -> Start:
    """A start with a snapshot of so many objects."""
    files = Files(home / APP / "state" / "s3")
    about = {"headers": {"content-type": "text/plain"}, "etag": ""}
    for number in range(objects):
        files.write(Entry("benchmark", f"objects/{number}", about, OBJECT_BYTES), [bytes(OBJECT_BYTES)])
    return start(home, [])


def computed(pid: int) -> float:
    """The seconds of processor time that a process has taken, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """The memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
