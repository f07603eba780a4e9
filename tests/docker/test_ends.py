"""However an emulator ends, Docker has nothing of it afterwards, and nothing of another emulator's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import rehearsal
from emulated import (
    BUCKET,
    ROLE,
    SERVING_IMAGE,
    catalogue,
    command,
    job_request,
    log_lines,
    private_emulator,
    wait_for_job,
)
from rehearsal import environment, poll

from emulator.engine.docker_labels import NAME, WORK

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(600)]
LOGS = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Home of a user; whatever emulator is left running there is stopped."""
    yield tmp_path
    run(tmp_path, "down")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m emulator …` to its end, with Docker in reach."""
    return rehearsal.emulator(folder, *arguments, docker=True)


def up(folder: Path) -> Any:
    """Start the user's emulator; returns a function that makes clients of it."""
    started = run(folder, "up", "--engine", "docker", "--images", str(catalogue(folder)))
    assert started.returncode == 0, started.stderr
    variables = json.loads(run(folder, "env", "--json").stdout)["environment"]
    session = boto3.session.Session(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_REGION"]
    )
    return lambda service: session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"])


def works(client: Any, name: str) -> list[str]:
    """The works with that name whose containers or networks are there."""
    found = client.containers.list(all=True, filters={"label": WORK}, ignore_removed=True)
    labels = [each.labels for each in found]
    labels += [each.attrs["Labels"] for each in client.networks.list(filters={"label": WORK})]
    return sorted({each[WORK] for each in labels if f"/{name}/" in f"{each[WORK]}/"})


def start_job_and_endpoint(client: Any, name: str, docker: Any) -> None:
    """A job that ignores SIGTERM and goes on for ever, and an endpoint in service."""
    client("s3").create_bucket(Bucket=BUCKET)
    sagemaker = client("sagemaker")
    sagemaker.create_training_job(**job_request(name, None, hang="stubbornly"))
    container = {"Image": SERVING_IMAGE}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    poll(lambda: len(works(docker, name)) == 3, "both run, and the job's network is there", 60)


def kill(folder: Path) -> None:
    """End the user's emulator by SIGKILL."""
    os.kill(json.loads(run(folder, "status", "--json").stdout)["pid"], signal.SIGKILL)
    poll(lambda: run(folder, "status").returncode == 3, "it is noticed", 10)


def test_a_kill_is_mended_at_the_next_start(folder: Path, docker_daemon: Any) -> None:
    """Containers and networks go; the job has failed, with the reason, and the endpoint comes back."""
    docker, name = docker_daemon.client, f"killed-{uuid.uuid4().hex[:8]}"
    start_job_and_endpoint(up(folder), name, docker)
    kill(folder)
    job = f"training-job/{name}"
    before = works(docker, name)
    assert [work for work in before if work.startswith("training-job/")] == [job, f"{job}/algo-1"]
    assert len(before) == 3
    sagemaker = up(folder)("sagemaker")
    assert not set(before) & set(works(docker, name))
    described = sagemaker.describe_training_job(TrainingJobName=name)
    assert described["TrainingJobStatus"] == "Failed"
    assert "The emulator ended while the job was running" in described["FailureReason"]
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert len(works(docker, name)) == 1


def test_two_emulators_do_not_disturb_each_other(folder: Path, docker_daemon: Any) -> None:
    """Of jobs with one name each has its own; one emulator is killed, `down` clears up after it, the other goes on."""
    docker, name = docker_daemon.client, f"same-{uuid.uuid4().hex[:8]}"
    with private_emulator(folder / "other", engine="docker") as other:
        other.client("s3").create_bucket(Bucket=BUCKET)
        sagemaker = other.client("sagemaker")
        sagemaker.create_training_job(**job_request(name, None, hang="politely"))
        poll(lambda: "hanging" in log_lines(other, LOGS, name), "the other's is at work", 60)
        (others,) = docker.containers.list(filters={"label": f"{WORK}=training-job/{name}/algo-1"})
        start_job_and_endpoint(up(folder), f"{name}-more", docker)
        kill(folder)
        down = run(folder, "down")
        assert (down.returncode, f"training-job/{name}-more/algo-1" in down.stdout) == (0, True), down
        assert works(docker, f"{name}-more") == []
        up(folder)
        others.reload()
        assert others.status == "running"
        sagemaker.stop_training_job(TrainingJobName=name)
        assert wait_for_job(sagemaker, name)["TrainingJobStatus"] == "Stopped"
        keys = other.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"models/{name}/")["Contents"]
        assert f"models/{name}/output/model.tar.gz" in [key["Key"] for key in keys]


@pytest.fixture
def endless(tmp_path: Path, docker_daemon: Any) -> Iterator[str]:
    """The name of an image, in images.toml beside its folder, whose build does not end by itself."""
    name = f"endless-{uuid.uuid4().hex[:8]}"
    (tmp_path / name).mkdir()
    dockerfile = f"ARG BASE\nFROM ${{BASE}}\nRUN : {name}; sleep 1000\n"
    (tmp_path / name / "Dockerfile").write_text(dockerfile)
    entry = f'[[image]]\nrepository = "tensorflow-training"\ntags = ["*"]\nfolder = "{name}"\n'
    (tmp_path / "endless.toml").write_text(entry)
    yield name
    for container in building(docker_daemon.client, name):
        container.remove(force=True)


def building(client: Any, name: str) -> list[Any]:
    """The containers in which the image is being built."""
    found = client.containers.list(all=True, ignore_removed=True)
    return [each for each in found if name in " ".join(each.attrs["Args"])]


def assert_given_up(client: Any, name: str) -> None:
    """Nothing goes on being built, and there is no image."""
    poll(lambda: not building(client, name), "the build ends", 20)
    assert client.images.list(f"{NAME}/{name}") == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_images_build_can_be_interrupted(
    tmp_path: Path, endless: str, docker_daemon: Any, number: signal.Signals, status: int
) -> None:
    """It ends at once, without a traceback, and the daemon gives the build up."""
    with subprocess.Popen(
        command("images", "build", "--images", str(tmp_path / "endless.toml")),
        env=environment(tmp_path, docker=True),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        poll(lambda: building(docker_daemon.client, endless), "the build is at it", 60)
        process.send_signal(number)
        before = time.monotonic()
        said, progress = process.communicate(timeout=30)
    assert time.monotonic() - before < 10
    assert (process.returncode, said) == (status, "")
    assert "Traceback" not in progress
    assert_given_up(docker_daemon.client, endless)


def test_an_emulator_that_ends_gives_up_its_build(tmp_path: Path, endless: str, docker_daemon: Any) -> None:
    """It does not wait for it; whoever waits for the image has an emulator no more."""
    flags = ["--images", str(tmp_path / "endless.toml")]
    with private_emulator(tmp_path / "emulator", flags, engine="docker") as emulated:
        emulated.client("sagemaker").create_training_job(**job_request("waiting", None))
        poll(lambda: building(docker_daemon.client, endless), "the build is at it", 60)
        before = time.monotonic()
    assert time.monotonic() - before < 15
    assert_given_up(docker_daemon.client, endless)
