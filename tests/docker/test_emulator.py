"""Jobs and endpoints in real containers, over real sockets: boto3, the Docker engine, LocalStack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.exceptions import WaiterError
from emulated import (
    BUCKET,
    ROLE,
    SERVING_IMAGE,
    Emulated,
    job_request,
    log_lines,
    private_emulator,
    unique,
    upload_words,
    wait_for_job,
)
from rehearsal import poll

from emulator.engine.docker_labels import WORK

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(1800)]
GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def emulated(docker_daemon: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """One emulator for all tests here."""
    with private_emulator(tmp_path_factory.mktemp("docker"), engine="docker") as emulated:
        yield emulated


@pytest.fixture(scope="module")
def data(emulated: Emulated) -> str:
    """The S3 prefix of two words."""
    return upload_words(emulated)


def test_a_job_and_an_endpoint_from_s3_to_an_answer(emulated: Emulated, data: str) -> None:
    """The script sees its data, its lines can be read, and the endpoint answers with its model."""
    sagemaker, name = emulated.client("sagemaker"), unique("job")
    sagemaker.create_training_job(**job_request(name, data, lines="3"))
    job = wait_for_job(sagemaker, name)
    assert job["FinalMetricDataList"][0]["Value"] == 2
    lines = log_lines(emulated, GROUP, f"{name}/algo-1-")
    assert lines == ["words: hello world", "line 0", "line 1", "line 2", "[test] words=2;"]
    container = {"Image": SERVING_IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    answer = emulated.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"hi")
    assert json.load(answer["Body"])["words"] == ["hello", "world"]
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_a_failing_script_fails_the_job(emulated: Emulated, data: str) -> None:
    """Its failure file is the reason."""
    sagemaker, name = emulated.client("sagemaker"), unique("failing")
    sagemaker.create_training_job(**job_request(name, data, fail="ErrorMessage: no luck"))
    with pytest.raises(WaiterError):
        wait_for_job(sagemaker, name)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["FailureReason"] == "AlgorithmError: ExecuteUserScriptError:\nErrorMessage: no luck, exit code: 1"


def test_a_running_job_can_be_stopped(emulated: Emulated, data: str) -> None:
    """It gets SIGTERM, and what it had made is kept."""
    sagemaker, name = emulated.client("sagemaker"), unique("stopped")
    sagemaker.create_training_job(**job_request(name, data, hang="politely"))
    poll(lambda: "hanging" in log_lines(emulated, GROUP, name), "the script is at work", 60)
    sagemaker.stop_training_job(TrainingJobName=name)
    job = wait_for_job(sagemaker, name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    keys = emulated.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"models/{name}")["Contents"]
    assert f"models/{name}/output/model.tar.gz" in [found["Key"] for found in keys]


def test_the_containers_door_has_the_same_locks(emulated: Emulated, data: str, docker_daemon: Any) -> None:
    """Where containers reach the emulator, foreign Hosts, loopback's name and unsigned requests are refused, too."""
    sagemaker, name = emulated.client("sagemaker"), unique("door")
    sagemaker.create_training_job(**job_request(name, data, hang="politely"))
    poll(lambda: "hanging" in log_lines(emulated, GROUP, name), "the script is at work", 60)
    found = docker_daemon.client.containers.list(filters={"label": f"{WORK}=training-job/{name}/algo-1"})
    variables = dict(each.split("=", 1) for each in found[0].attrs["Config"]["Env"])
    sagemaker.stop_training_job(TrainingJobName=name)
    url = variables["AWS_ENDPOINT_URL"]
    assert url.startswith(f"http://{docker_daemon.gateway}:")
    port = url.rpartition(":")[2]

    def knock(host: str, path: str = "/_emulator/health") -> int:
        return urllib3.request("GET", f"{url}{path}", headers={"Host": host}, retries=False).status

    assert knock(f"{docker_daemon.gateway}:{port}") == knock(f"host.docker.internal:{port}") == 200
    assert knock("evil.example") == knock(f"127.0.0.1:{port}") == 403
    assert knock(f"{docker_daemon.gateway}:{port}", "/bucket/key") == 403
    wait_for_job(sagemaker, name)
