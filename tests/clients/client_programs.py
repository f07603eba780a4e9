"""Runs users' programs, each in its client's own environment, with what `python -m emulator env` gives and no more."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path
from rehearsal import ROOT, environment

from emulator.environments import Environments

HERE = Path(__file__).parent
ROLE = "arn:aws:iam::000000000000:role/service-role/SageMaker"
# The tests' own image, of the standard library only: for what is about the client, not about TensorFlow.
WORDS_IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/words:1"
CACHE = user_cache_path("sagemaker-rehearsal") / "environments"
SECONDS = 240
NODE = (18, 0)  # what package.json asks for, and Debian 12 has
NODE_ADVICE = "the AWS SDK for JavaScript needs Node.js 18 or later and npm (Debian: apt-get install nodejs npm)"


class NodeMissing(Exception):
    """There is no Node.js, or an old one; the message says what to do."""


@dataclass(frozen=True)
class User:
    """Somebody with a shell in which `eval "$(python -m emulator env)"` was run, and a folder to work in."""

    variables: Mapping[str, str]
    folder: Path

    def run(
        self, arguments: Sequence[str | Path], seconds: float = SECONDS, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [str(argument) for argument in arguments],
            env={**self.variables, **variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def result(self, arguments: Sequence[str | Path], **variables: str) -> Any:
        """Run a program that must succeed; what it prints as JSON in its last line."""
        run = self.run(arguments, **variables)
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
        return json.loads(run.stdout.splitlines()[-1])


def catalogue(folder: Path) -> Path:
    """The project's own catalogue and, on top, the tests' image under a name of its own."""
    docker, image = ROOT / "docker", ROOT / "tests/integration/image"
    project = (docker / "images.toml").read_text("utf-8")
    project = project.replace('folder = "', f'folder = "{docker}/')
    commands = "\n".join(
        f"{command} = {json.dumps(['python', str(image / program)])}"
        for command, program in (("train", "train.py"), ("serve", "serve.py"))
    )
    path = folder / "images.toml"
    path.write_text(
        f'{project}\n[[image]]\nrepository = "words"\ntags = ["*"]\nfolder = {json.dumps(str(image))}\n{commands}\n'
        'python_path = "local"\n',
        "utf-8",
    )
    return path


@contextmanager
def shell(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of a shell in which the emulator was started and its `env` evaluated; it must stop cleanly."""
    before = {**environment(folder), "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", line], env=before, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(f"python -m emulator up --engine venv --images '{catalogue(folder)}'")
    try:
        printed = run('eval "$(python -m emulator env)"; env --null')
        yield dict(line.split("=", 1) for line in printed.split("\0") if line)
    finally:
        run("python -m emulator down")


def python(environments: Environments, client: str) -> Path:
    """The interpreter of a client's own environment."""
    return environments.python(f"client-{client}", HERE / client / "requirements.txt")


def node_modules(variables: Mapping[str, str]) -> Path:
    """The packages of javascript/package.json, kept in the user's cache by the hash of that. Raises NodeMissing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise NodeMissing(f"no node or npm here: {NODE_ADVICE}")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.removeprefix("v").split(".")[:2])) < NODE:
        raise NodeMissing(f"node is {version}: {NODE_ADVICE}")
    package = (HERE / "javascript/package.json").read_bytes()
    folder = CACHE / f"client-javascript-{hashlib.sha256(package + version.encode()).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "package.json").write_bytes(package)
            # Scripts of packages do not run, and no lock file is written: that would hold the registry's address.
            install = [npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
            made = subprocess.run(install, cwd=folder, env=dict(variables), capture_output=True, text=True, timeout=240)
            assert made.returncode == 0, made.stdout + made.stderr
            (folder / "complete").touch()
    return folder / "node_modules"


def sdk_settings(home: Path) -> None:
    """The settings of a user of the SageMaker SDK who does not send AWS telemetry: tests stay on loopback."""
    file = home / ".config/sagemaker/config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n", "utf-8"
    )
