"""Training jobs as the emulator lays them out, run by the launcher as a process of its own."""

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

LOCAL = Path(__file__).parents[3] / "local"


@dataclass
class TrainingTree:
    """The folder that stands in for /opt/ml, and how a launcher is started on it."""

    base: Path
    variables: dict[str, str] = field(default_factory=dict)

    def configure(self, hyperparameters: dict[str, str], channels: tuple[str, ...] = ("train",)) -> None:
        """Write the files of input/config, and the folders."""
        config = self.base / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        for folder in ("model", "output/data", *(f"input/data/{name}" for name in channels)):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        resources = {
            "current_host": "algo-1",
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
            "current_instance_type": "ml.m5.xlarge",
            "current_group_name": "homogeneousCluster",
            "instance_groups": [
                {
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": "ml.m5.xlarge",
                    "hosts": ["algo-1"],
                }
            ],
        }
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        (config / "resourceconfig.json").write_text(json.dumps(resources))
        (config / "inputdataconfig.json").write_text(json.dumps({name: {} for name in channels}))

    def script(self, text: str, **hyperparameters: object) -> None:
        """Configure a job with this script, in a folder of its own, and these hyperparameters."""
        source = self.base.parent / "source"
        source.mkdir(exist_ok=True)
        (source / "train.py").write_text(text)
        self.configure(
            {
                "sagemaker_program": json.dumps("train.py"),
                "sagemaker_submit_directory": json.dumps(str(source)),
                **{name: json.dumps(value) for name, value in hyperparameters.items()},
            }
        )

    @property
    def source(self) -> Path:
        """The folder of the script."""
        return self.base.parent / "source"

    def start(self) -> subprocess.Popen[str]:
        """Start the launcher as the venv engine does."""
        folders = {name: self.base / name.lower() for name in ("HOME", "TMPDIR")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "training_launcher"],
            cwd=self.base,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(LOCAL),
                "PYTHONUNBUFFERED": "1",
                "SAGEMAKER_BASE_DIR": str(self.base),
                **{name: str(folder) for name, folder in folders.items()},
                **self.variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        """Run the launcher to its end; return its exit status and what it wrote."""
        with self.start() as process:
            output, _ = process.communicate(timeout=120)
        return process.returncode, output

    @property
    def failure(self) -> str:
        """The failure file."""
        return (self.base / "output" / "failure").read_text()

    @property
    def succeeded(self) -> bool:
        """Whether the launcher reported success."""
        return (self.base / "output" / "success").exists() and not (self.base / "output" / "failure").exists()


@pytest.fixture
def tree(tmp_path: Path) -> TrainingTree:
    """Give an empty training tree."""
    return TrainingTree(tmp_path / "ml")


class FakeS3:
    """Serves objects of buckets by path, read-only, on loopback."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                self._answer(body=True)

            def _answer(self, body: bool) -> None:
                fake.requests.append(f"{self.command} {self.path}")
                url = urlsplit(self.path)
                content = fake.objects.get(url.path)
                if url.query == "location":
                    content = b"<LocationConstraint>eu-west-1</LocationConstraint>"
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if body and content:
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def put_tarball(self, path: str, files: dict[str, str]) -> None:
        """Store a .tar.gz of these files."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        self.objects[path] = buffer.getvalue()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    """Give an S3 of our own."""
    fake = FakeS3()
    yield fake
    fake.close()
