"""What the emulator leaves on the disk is for its user alone, also where the user's own umask says otherwise."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import boto3
from emulated import IMAGE, catalogue, command, job_request
from rehearsal import environment, poll


def test_nobody_else_reads_anything(tmp_path: Path) -> None:
    """State, keys, logs, recorded requests and a running job's files; with a state folder that others may look into."""
    folder, state = tmp_path / "user", tmp_path / "user/own state"
    variables = environment(folder)
    state.mkdir(mode=0o755)
    options = ["--engine", "venv", "--images", str(catalogue(folder / "images")), "--state-dir", str(state)]
    options += ["--record", str(folder / "record.jsonl")]

    def emulator(*arguments: str) -> str:
        done = subprocess.run(command(*arguments), env=variables, capture_output=True, text=True, umask=0, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    emulator("up", *options)
    try:
        told = json.loads(emulator("env", "--json"))["environment"]
        keys = {
            "aws_access_key_id": told["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": told["AWS_SECRET_ACCESS_KEY"],
            "endpoint_url": told["AWS_ENDPOINT_URL"],
            "region_name": told["AWS_REGION"],
        }
        request = job_request("job", None, hang="politely")
        assert request["AlgorithmSpecification"]["TrainingImage"] == IMAGE
        sagemaker = boto3.client("sagemaker", **keys)
        boto3.client("s3", **keys).create_bucket(Bucket="rehearsal")
        sagemaker.create_training_job(**request)
        running = "Training"
        poll(
            lambda: sagemaker.describe_training_job(TrainingJobName="job")["SecondaryStatus"] == running, "it runs", 60
        )
        poll(lambda: list(state.rglob("words.json")), "its model is there", 60)
        assert open_to_others(folder, state) == []
    finally:
        emulator("down")
    assert open_to_others(folder, state) == []
    recorded = (folder / "record.jsonl").read_text()
    assert "CreateTrainingJob" in recorded
    secrets = [told["AWS_SECRET_ACCESS_KEY"], told["AWS_ACCESS_KEY_ID"], "Signature", "authorization"]
    texts = [path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    assert [secret for secret in secrets for text in texts if secret in text] == []


def open_to_others(folder: Path, state: Path) -> list[str]:
    """What somebody else could read or write of what the emulator has made, by way of folders that let him pass."""
    found = []
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink() or path in (state, folder / "images", folder / "tmp", folder / "home"):
                continue
            if path.is_relative_to(folder / "images") or not path.lstat().st_mode & 0o077:
                continue
            found.append(f"{path} {path.lstat().st_mode:o}")
        # Behind a folder that nobody else may enter, nobody else is.
        folders[:] = [name for name in folders if Path(parent, name).lstat().st_mode & 0o011]
    return found
