"""The SDK's local clients, made to answer as SageMaker's do."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from runner.errors import RunnerError
from runner.local_mode import LocalRuntime, LocalSageMaker, give_projects_their_own_networks
from runner.remove import remove
from runner.sm_learner import sdk

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = {"OutputDataConfig": {"S3OutputPath": "s3://bucket/prefix/"}}


@dataclass
class FakeLocalClient:
    """As sagemaker.local's: a job that fails is a RuntimeError, an endpoint that was deleted can be described."""

    fails: bool = False
    made: list[str] = field(default_factory=list)

    def create_training_job(self, TrainingJobName: str, **_request: Any) -> None:
        """Run it."""
        if self.fails:
            raise RuntimeError("Failed to run: ['docker-compose']. Process exited with code: 1")

    def describe_training_job(self, name: str) -> dict[str, Any]:
        """A job that ended well."""
        end = START + timedelta(seconds=12.4)
        return {"TrainingJobName": name, "TrainingStartTime": START, "TrainingEndTime": end}

    def create_endpoint(self, EndpointName: str, **_request: Any) -> None:
        """Note it, then start it."""
        self.made.append(EndpointName)
        if self.fails:
            raise RuntimeError("Giving up, endpoint didn't launch correctly")

    def describe_endpoint(self, name: str) -> dict[str, Any]:
        """Whatever was made; one that did not come up is Creating for ever."""
        if name not in self.made:
            raise not_found("describe_endpoint")
        return {"EndpointName": name, "EndpointStatus": "Creating" if self.fails else "InService"}

    def delete_endpoint(self, _name: str) -> None:
        """Stop it."""

    def describe_model(self, ModelName: str) -> None:
        """There is none."""
        raise not_found("describe_model")

    def describe_endpoint_config(self, EndpointConfigName: str) -> None:
        """There is none."""
        raise not_found("describe_endpoint_config")


def not_found(operation: str) -> ClientError:
    """In the words of sagemaker.local."""
    message = f"Could not find local {operation.removeprefix('describe_')}"
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)


@dataclass(frozen=True)
class FakeS3:
    """Holds one object, or none."""

    content: bytes = b""

    def download_fileobj(self, bucket: str, key: str, file: io.BytesIO) -> None:
        """Write it."""
        if (bucket, key) != ("bucket", "prefix/a-job/output/output.tar.gz") or not self.content:
            raise ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")
        file.write(self.content)


def packed(**files: str) -> bytes:
    """A .tar.gz of these files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def client(local: FakeLocalClient, s3: FakeS3 | None = None) -> tuple[LocalSageMaker, list[str]]:
    """The client, and what notes that all was taken down."""
    ended: list[str] = []
    return LocalSageMaker(local, s3 or FakeS3(), lambda: ended.append("ended")), ended


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed(failure="ExecuteUserScriptError:\nValueError: no luck"), "ValueError: no luck"),
        (packed(other=""), "Process exited with code: 1"),
        (b"no archive", "Process exited with code: 1"),
        (b"", "Process exited with code: 1"),
    ],
)
def test_a_failed_job_is_told_with_the_scripts_reason(content: bytes, reason: str) -> None:
    """It is in the failure file, which the SDK packs and does not read; else what the SDK says."""
    sagemaker, _ = client(FakeLocalClient(fails=True), FakeS3(content))
    with pytest.raises(RunnerError, match=f"training job a-job: Failed: (?s:.*){reason}"):
        sagemaker.create_training_job(TrainingJobName="a-job", **JOB)


def test_a_job_that_ended_says_how_long_it_took() -> None:
    """As SageMaker does, in whole seconds."""
    sagemaker, _ = client(FakeLocalClient())
    sagemaker.create_training_job(TrainingJobName="a-job", **JOB)
    assert sagemaker.describe_training_job(TrainingJobName="a-job")["TrainingTimeInSeconds"] == 12


def test_stopping_a_job_takes_its_containers_down() -> None:
    """The SDK has no call for it."""
    sagemaker, ended = client(FakeLocalClient())
    sagemaker.stop_training_job(TrainingJobName="a-job")
    assert ended == ["ended"]


@pytest.mark.parametrize("fails", [False, True])
def test_an_endpoint_is_removed_whether_it_came_up_or_not(fails: bool) -> None:
    """Neither is Creating for ever, nor described after its deletion."""
    sagemaker, ended = client(FakeLocalClient(fails=fails))
    if fails:
        with pytest.raises(RunnerError, match="not in service: Giving up"):
            sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Failed"
    else:
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig={})
        assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
    assert remove(sagemaker, "e", 0.01, print).complete
    assert ended == ["ended"]


def test_an_endpoint_that_was_never_made_counts_as_removed() -> None:
    """Nothing is taken down for it."""
    sagemaker, ended = client(FakeLocalClient())
    assert remove(sagemaker, "e", 0.01, print).complete
    assert ended == []


@dataclass
class FakeRuntime:
    """Answers with this status and body."""

    status: int
    body: bytes

    def invoke_endpoint(self, **_request: Any) -> dict[str, Any]:
        """As urllib3's response."""
        body = io.BytesIO(self.body)
        body.status = self.status  # type: ignore[attr-defined]
        return {"Body": body, "ContentType": None}


def test_an_endpoints_error_is_a_model_error() -> None:
    """As SageMaker Runtime raises it, with the container's status and words."""
    with pytest.raises(ClientError) as caught:
        LocalRuntime(FakeRuntime(400, b'{"error": "too long"}')).invoke_endpoint(EndpointName="e", Body=b"[]")
    response: Any = caught.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert (response["OriginalStatusCode"], json.loads(response["OriginalMessage"])) == (400, {"error": "too long"})


def test_an_endpoints_answer_is_passed_on() -> None:
    """With a body to read."""
    answer = LocalRuntime(FakeRuntime(200, b"{}")).invoke_endpoint(EndpointName="e", Body=b"[]")
    assert answer["Body"].read() == b"{}"


def test_each_project_has_a_network_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own file, but for the name that all of its projects share; the hosts of a job find each other in it."""
    monkeypatch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    for _ in range(2):
        give_projects_their_own_networks()
    image = sdk("sagemaker.local.image")
    monkeypatch.setattr(image._SageMakerContainer, "_get_compose_cmd_prefix", staticmethod(lambda: ["docker-compose"]))
    monkeypatch.setattr(image, "_aws_credentials", lambda _session: None)
    session = SimpleNamespace(boto_session=None, boto_region_name="us-east-1", config=None)
    container = image._SageMakerContainer("local", 2, "an-image:1", sagemaker_session=session)
    container.container_root = str(tmp_path)
    container._generate_compose_file("train")
    written = yaml.safe_load((tmp_path / "docker-compose.yaml").read_text())
    assert written["networks"] == {"sagemaker-local": None}
    assert [set(host["networks"]) for host in written["services"].values()] == [{"sagemaker-local"}] * 2
    assert {host["image"] for host in written["services"].values()} == {"an-image:1"}
