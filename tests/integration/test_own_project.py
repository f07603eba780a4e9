"""The page "Use it for your own project": its files and commands, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rehearsal import environment

PAGE = (Path(__file__).parents[2] / "docs/own-project.md").read_text("utf-8")
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECONDS = 180


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the page's files, and nothing else."""
    folder = tmp_path / "project"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def shell(project: Path, commands: str) -> str:
    """What the commands print, in one shell whose `python` and `aws` are those of the emulator's environment."""
    variables = environment(project.parent)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=project, env=variables, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def block(beginning: str) -> str:
    """The shell's block that begins so."""
    [found] = [text for text in SHELL if text.startswith(beginning)]
    return found


def test_the_files_are_all_found() -> None:
    """Else the tests below would show less than they seem to."""
    expected = {"images.toml", "image/requirements.txt", "image/train.py", "image/serve.py", "image/Dockerfile"}
    assert set(FILES) == expected | {"conftest.py", "test_mean.py", "jobs.mjs"}
    for name in FILES:
        if name.endswith(".py"):
            compile(FILES[name], name, "exec")


def test_the_pytest_example(project: Path) -> None:
    """It starts an emulator of its own, trains and serves by the page's image, and leaves nothing lying about."""
    printed = shell(project, block("python -m pip install pytest").partition("\n")[2])
    assert "1 passed" in printed
    assert list((project.parent / "tmp").iterdir()) == []


def test_the_commands(project: Path) -> None:
    """Up, variables, bucket, jobs, image catalogue, down; and afterwards nothing of the emulator is in the shell."""
    start, end = block("python -m emulator up  "), block("python -m emulator down")
    with_images = block("python -m emulator up --images")
    to_aws = block("unset AWS_ENDPOINT_URL")
    try:
        printed = shell(project, f"{start}\n{end}\n{with_images}\n{end}\n{to_aws}\nenv | grep ^AWS_ || true")
    finally:
        shell(project, end)
    assert "make_bucket: my-bucket" in printed
    assert '"TrainingJobSummaries": []' in printed
    assert [line for line in printed.splitlines() if line.startswith("AWS_")] == ["AWS_EC2_METADATA_DISABLED=true"]


def test_javascript(project: Path) -> None:
    """The page's program, where npm can be had; without a line for the emulator."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    installed = Path(environment(project.parent)["XDG_CACHE_HOME"]) / "sagemaker-rehearsal" / "own-project-js"
    installed.mkdir(parents=True, exist_ok=True)
    install, run, _ = block("npm install").split("\n")
    if subprocess.run(install.split(), cwd=installed, capture_output=True, timeout=SECONDS).returncode:
        pytest.skip("npm cannot install the SDK here")
    (project / "node_modules").symlink_to(installed / "node_modules")
    start, end = block("python -m emulator up  "), block("python -m emulator down")
    try:
        assert "make_bucket" in shell(project, f"{start}\n{run}")
    finally:
        shell(project, end)


def test_the_recipes() -> None:
    """They are YAML, and what they run is what this page tells to type."""
    github, gitlab = [
        yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    ]
    commands = [step["run"] for step in github["jobs"]["test"]["steps"] if "run" in step]
    install = "python -m pip install -e ./rehearsal pytest"
    assert commands == gitlab["test"]["script"][1:] == [install, "python -m pytest -q"]
    assert gitlab["test"]["script"][0] in PAGE.partition("## In CI")[0]
