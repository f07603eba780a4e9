"""The SageMaker SDK's version 3: resources, ModelTrainer, ModelBuilder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from client_programs import HERE, ROLE, WORDS_IMAGE, User

PROGRAMS = HERE / "sdk_v3"


def test_resources(user: User, client_python: Callable[[str], Path], data: tuple[str, str]) -> None:
    """Create, get, list, refresh, wait, logs, stop, invoke, update, delete: jobs, models, configurations, endpoints."""
    bucket = data[0]
    name = f"{bucket}-v3"
    run = user.run([client_python("sdk_v3"), PROGRAMS / "resources.py", bucket, WORDS_IMAGE, ROLE])
    assert run.returncode == 0, run.stdout + run.stderr
    for text in ("words: hello world", *(f"line {number}" for number in range(5))):
        assert text in run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    trained, served = result["trained"], result["served"]
    assert trained["status"] == "Completed"
    assert trained["model"] == f"s3://{bucket}/jobs/{name}/output/model.tar.gz"
    assert "AlgorithmError: ExecuteUserScriptError:\non purpose, exit code: 1" in trained["reason"]
    assert trained["listed"] == [[name, "Completed"], [f"{name}-stopped", "Stopped"], [f"{name}-failed", "Failed"]]
    assert served["status"] == "InService"
    assert (served["body"]["words"], served["body"]["greeting"]) == (["hello", "world"], "hello")
    assert served["headers"] == ["application/json", "a", "served=yes"]
    assert served["updated"] == "again"
    assert served["tags"] == [["team", "words"]]
    assert served["left"] == [0, 0, 0]
    assert result["missing"]["Code"] == "ValidationException"
    assert result["missing"]["Message"].startswith("Could not find endpoint ")


def test_a_model_trainer_and_a_model_builder(
    user: User, client_python: Callable[[str], Path], data: tuple[str, str]
) -> None:
    """The SDK's own driver runs the script below /opt/ml; what it made is served, with the SDK's own waits and logs."""
    bucket = data[0]
    run = user.run([client_python("sdk_v3"), PROGRAMS / "trainer_and_builder.py", bucket, WORDS_IMAGE, ROLE])
    assert run.returncode == 0, run.stdout + run.stderr
    for text in (
        "Running Basic Script driver",
        "hosts: [",
        "'--rate', '0.5'",
        "Training Container Execution Completed",
    ):
        assert text in run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["status"] == "Completed"
    assert result["model"].startswith(f"s3://{bucket}/{bucket}-trainer/{bucket}-trainer-")
    assert result["served"] == {"words": ["HELLO", "WORLD"], "body": '{"a": 1}', "greeting": "hello"}
