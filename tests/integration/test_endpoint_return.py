"""Endpoints outlive the emulator: after a clean stop and after kill -9 they come back by themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emulated import Emulated, catalogue, command, unique
from endpoints import answer, container, in_service
from rehearsal import environment, processes_of


@contextmanager
def emulator(folder: Path, ends_by: signal.Signals) -> Iterator[Emulated]:
    """An emulator whose state stays in the folder; it ends by that signal."""
    flags = ["--foreground", "--images", str(catalogue(folder)), "--engine", "venv"]
    with subprocess.Popen(
        command("up", *flags), env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield Emulated(process, json.loads(process.stdout.readline())["environment"], folder)
        finally:
            os.kill(process.pid, ends_by)
            process.wait(timeout=60)


@pytest.mark.parametrize("ends_by", [signal.SIGTERM, signal.SIGKILL])
def test_endpoints_come_back(tmp_path: Path, ends_by: signal.Signals) -> None:
    """With the instances they had, and answering; what could not come back says why."""
    name = unique("returning")
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with emulator(tmp_path, ends_by) as before:
        sagemaker = before.client("sagemaker")
        sagemaker.create_model(ModelName=name, PrimaryContainer=container(None, GREETING="again"))
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        in_service(sagemaker, name)
        desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
        sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=desired)
        in_service(sagemaker, name)
    with emulator(tmp_path, signal.SIGTERM) as after:
        assert answer(after, name)["greeting"] == "again"  # it waits for the endpoint
        described = in_service(after.client("sagemaker"), name)
        assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
        assert len(processes_of(Path(f"endpoint-{name}"))) == 2
    assert processes_of(tmp_path) == []
