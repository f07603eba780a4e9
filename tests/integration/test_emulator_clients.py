"""The SageMaker SDK and the AWS CLI against an emulator, as their users run them: as programs of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import BUCKET, ROLE, Emulated, job_request, private_emulator, unique, upload_words, wait_for_job

SDK_PROGRAM = Path(__file__).with_name("sdk_program.py")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """One emulator for all tests here."""
    with private_emulator(tmp_path_factory.mktemp("clients")) as emulated:
        yield emulated


@pytest.fixture(scope="module")
def data(emulated: Emulated) -> str:
    """The S3 prefix of two words."""
    return upload_words(emulated)


def test_the_sagemaker_sdk_works_unchanged(emulated: Emulated, data: str, tmp_path: Path) -> None:
    """An ordinary Session: fit shows every line and status, deploy, predict and the deletes leave nothing."""
    variables = {**emulated.environment(), "SAGEMAKER_SUPPRESS_V2_WARNING": "1"}
    run = subprocess.run(
        [sys.executable, str(SDK_PROGRAM), str(tmp_path), BUCKET, data, ROLE],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for text in [
        *(f"line {number}" for number in range(40)),
        "[test] words=2;",
        "Training job completed",
        "Training seconds:",
    ]:
        assert text in run.stdout
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["model_data"].startswith(f"s3://{BUCKET}/tensorflow-training-")
    assert result["answer"]["words"] == ["hello", "world"]
    assert result["answer"]["body"] == '{"instances": [[1.0, 2.0]]}'
    assert result["left"] == [[], []]


def aws(emulated: Emulated, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI with what `env` gives, and nothing else."""
    program = shutil.which("aws", path=str(Path(sys.executable).parent))
    assert program, "the AWS CLI is a dependency of the project"
    return subprocess.run([program, *arguments], env=emulated.environment(), capture_output=True, text=True, timeout=60)


def test_the_aws_cli_works_unchanged(emulated: Emulated, data: str) -> None:
    """Create, wait, describe, read the log, and be told what is wrong, with the environment alone."""
    name = unique("cli")
    created = aws(emulated, "sagemaker", "create-training-job", "--cli-input-json", json.dumps(job_request(name, data)))
    assert json.loads(created.stdout)["TrainingJobArn"].endswith(f":training-job/{name}")
    wait_for_job(emulated.client("sagemaker"), name)  # the CLI's own waiter sleeps two minutes between its looks
    described = aws(emulated, "sagemaker", "describe-training-job", "--training-job-name", name)
    assert json.loads(described.stdout)["TrainingJobStatus"] == "Completed"
    lines = aws(emulated, "logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TrainingJobs")
    assert "words: hello world" in [event["message"] for event in json.loads(lines.stdout)["events"]]
    missing = aws(emulated, "sagemaker", "describe-endpoint", "--endpoint-name", "nothing")
    assert missing.returncode != 0
    assert 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/nothing".' in missing.stderr
    listed = aws(emulated, "s3", "ls", f"s3://{BUCKET}/words/")
    assert "a.txt" in listed.stdout
    identity = aws(emulated, "sts", "get-caller-identity", "--query", "Account", "--output", "text")
    assert identity.stdout.strip() == "000000000000"
