"""Several hosts of a job: their names, who can reach whom, and what the project's own script makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from emulated import Emulated, job_request, log_lines, private_emulator, unique, wait_for_job
from rehearsal import SMALL, Rehearsal, assert_same_model, settings

from emulator.engine.docker import DockerEngine
from emulator.engine.docker_labels import WORK
from emulator.engine.port import Container, Line, Work

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(1800)]
Training = Callable[..., Work]
Finish = Callable[[Container], tuple[list[str], int]]

LISTEN = """
import socket
with socket.create_server(("", 2222)) as server:
    print("listening", flush=True)
    while True:
        asker, _ = server.accept()
        with asker:
            asker.sendall(socket.gethostname().encode())
"""
ASK = """
import os, socket
for place in os.environ["PLACES"].split():
    try:
        with socket.create_connection((place, 2222), 3) as connection:
            print("reached", connection.recv(100).decode())
    except OSError:
        print("no way")
"""
TELL = (  # a hyperparameter of the API has one line
    "import json, os; told = json.loads((BASE / 'input/config/resourceconfig.json').read_text()); "
    "print(json.dumps({**told, 'interfaces': os.listdir('/sys/class/net')}))"
)


def test_hosts_of_one_job_find_each_other_by_name_and_nobody_else_does(
    engine: DockerEngine, docker_daemon: Any, training: Training, finish: Finish
) -> None:
    """algo-2 reaches algo-1 by its name; a host of another job neither by name nor by address."""
    network = engine.connect("training-job/joined", ["algo-1", "algo-2"])
    first = replace(training(hyperparameters={"program": LISTEN}), network=network)
    listening = engine.start(first)
    assert any(event == Line("listening") for event in listening.events())
    (found,) = docker_daemon.client.containers.list(filters={"label": f"{WORK}={first.name}"})
    address = found.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    asking = training(hyperparameters={"program": ASK}, environment={"PLACES": f"algo-1 {address}"})
    joined = engine.start(replace(asking, host="algo-2", network=network))
    assert finish(joined) == (["reached algo-1", "reached algo-1"], 0)
    stranger = engine.start(replace(asking, name=f"{asking.name}-of-another-job", host="algo-2"))
    assert finish(stranger) == (["no way", "no way"], 0)
    listening.stop(0)
    network.close()


@pytest.fixture(scope="module")
def emulated(docker_daemon: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """An emulator with the tests' image."""
    with private_emulator(tmp_path_factory.mktemp("docker"), engine="docker") as emulated:
        yield emulated


def test_each_host_is_told_who_it_is(emulated: Emulated) -> None:
    """resourceconfig.json has its name, all names, and the interface at which it is reached."""
    sagemaker, name = emulated.client("sagemaker"), unique("told")
    request = job_request(name, None, program=TELL)
    request["ResourceConfig"]["InstanceCount"] = 2
    sagemaker.create_training_job(**request)
    wait_for_job(sagemaker, name)
    for host in ("algo-1", "algo-2"):
        (told,) = (json.loads(line) for line in log_lines(emulated, "/aws/sagemaker/TrainingJobs", f"{name}/{host}-"))
        assert (told["current_host"], told["hosts"]) == (host, ["algo-1", "algo-2"])
        assert told["network_interface_name"] in set(told["interfaces"]) - {"lo"}


def whole_run(folder: Path, hosts: str) -> Rehearsal:
    """The project's own workflow, on the real images."""
    run = rehearsal.start(folder, **settings(**SMALL, engine="docker", train_instance_count=hosts))
    assert run.process.wait(timeout=1500) == 0, run.output
    assert run.finish() == 0
    run.assert_nothing_left()
    return run


def test_the_whole_workflow_on_two_hosts_gives_the_model_of_one(docker_daemon: object, tmp_path: Path) -> None:
    """AWS's toolkit and TensorFlow's runtime on a network of two containers: the same model and answers.

    The images are built when they must be.
    """
    one, two = (whole_run(tmp_path / hosts, hosts) for hosts in ("1", "2"))
    assert "Rows to train on, by host: 80, 80" in two.output
    assert_same_model(one.report, two.report)
    for report in (one.report, two.report):
        assert (report["engine"], report["error"], report["removed"]) == ("docker", None, True)
        assert report["invocations"]["predictor"] == report["invocations"]["boto3"] == report["invocations"]["cli"]
