"""AWS mode, proven against the emulator: the same requests as local mode's, and no way in without credentials."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from rehearsal import SMALL, Rehearsal, settings

Rehearse = Callable[..., Rehearsal]
REGION = "eu-central-1"
AWS_SETTINGS = {
    "region": REGION,
    "bucket_name": "acme-tmdb-kmeans",
    "role": "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole-20260101T000000",
    "train_instance_type": "ml.c5.xlarge",
    "deploy_instance_type": "ml.c5.large",
}
# All that may differ between the requests of the two modes: a setting's value, for the other mode's.
DIFFERENT_SETTINGS = {
    "acme-tmdb-kmeans": "tmdb-kmeans-local",
    AWS_SETTINGS["role"]: "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole-local",
    "ml.c5.xlarge": "ml.m5.xlarge",
    "ml.c5.large": "ml.m5.xlarge",
}
# Requests that only AWS mode makes: the check of the credentials, before anything else.
ONLY_AWS = [("sts", "GetCallerIdentity")]
# How often a run looks at what it waits for depends on time, not on the mode.
LOOKS = re.compile(r"Describe|GetLogEvents")

pytestmark = pytest.mark.timeout(600)


def requests(record: Path) -> Iterator[dict[str, Any]]:
    """The recorded requests, in order, without time and the looks of waiting."""
    for line in record.read_text().splitlines():
        request = json.loads(line)
        request.pop("time")
        if not LOOKS.search(request["operation"] or ""):
            yield request


def without_names(recorded: list[dict[str, Any]], name: str) -> list[str]:
    """Requests as texts in which the run's own name is RUN."""
    return [json.dumps(request, sort_keys=True).replace(name, "RUN") for request in recorded]


def test_both_modes_make_the_same_requests(rehearse: Rehearse, tmp_path: Path) -> None:
    """Request by request, the modes differ in the settings that this test spells out, and in nothing else."""
    record = tmp_path / "requests.jsonl"
    up = rehearsal.emulator(tmp_path, "up", "--region", REGION, "--record", str(record))
    assert up.returncode == 0, up.stderr
    local = rehearse(**settings(**SMALL, region=REGION))
    assert local.finish() == 0, local.output
    local_requests = without_names(list(requests(record)), local.report["run_name"])
    count = len(list(requests(record)))

    credentials = json.loads(rehearsal.emulator(tmp_path, "env", "--json").stdout)["environment"]
    del credentials["AWS_REGION"], credentials["AWS_DEFAULT_REGION"]  # the setting must do
    quick = {"poll_seconds": "0.2"}
    cloud = rehearse(mode="aws", **settings(**SMALL, **AWS_SETTINGS, **quick), **credentials)
    assert cloud.finish() == 0, cloud.output
    cloud_recorded = list(requests(record))[count:]
    assert [(each["service"], each["operation"]) for each in cloud_recorded[: len(ONLY_AWS)]] == ONLY_AWS
    cloud_requests = without_names(cloud_recorded[len(ONLY_AWS) :], cloud.report["run_name"])
    for ours, theirs in DIFFERENT_SETTINGS.items():
        cloud_requests = [request.replace(ours, theirs) for request in cloud_requests]

    assert cloud_requests == local_requests
    operations = [json.loads(request)["operation"] for request in local_requests]
    for operation in ("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "DeleteEndpoint"):
        assert operations.count(operation) == 1, operation
    assert operations.count("InvokeEndpoint") >= 5
    assert (cloud.report["mode"], cloud.report["removed"]) == ("aws", True)
    assert cloud.report["invocations"] == local.report["invocations"]
    assert cloud.report["evaluation"] == local.report["evaluation"]


def test_aws_mode_without_credentials_ends_at_once(rehearse: Rehearse, tmp_path: Path) -> None:
    """Status 2 and the fix, within seconds; no emulator is started and nothing is written."""
    began = time.monotonic()
    run = rehearse(mode="aws", **settings(**AWS_SETTINGS))
    assert run.finish() == 2
    assert time.monotonic() - began < 15
    assert "AWS credentials: none were found" in run.output
    assert "aws configure" in run.output
    assert not (tmp_path / "matrix").exists()
    assert not (tmp_path / "generated").exists()
    run.assert_nothing_left()


def test_aws_mode_with_refused_credentials_ends_before_anything_is_made(rehearse: Rehearse, tmp_path: Path) -> None:
    """The service's own words and the fix; the only request was the question who we are."""
    record = tmp_path / "requests.jsonl"
    assert rehearsal.emulator(tmp_path, "up", "--region", REGION, "--record", str(record)).returncode == 0
    variables = json.loads(rehearsal.emulator(tmp_path, "env", "--json").stdout)["environment"]
    variables["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
    run = rehearse(mode="aws", **settings(**AWS_SETTINGS), **variables)
    assert run.finish() == 2
    assert "AWS credentials: refused" in run.output
    asked = list(requests(record))
    assert asked, "the credentials were tried"
    assert {(request["path"], request["status"]) for request in asked} == {("/", 403)}, "and nothing else was"
    assert not (tmp_path / "matrix").exists()


def test_a_wrong_setting_ends_before_anything_is_started(rehearse: Rehearse, tmp_path: Path) -> None:
    """One line, status 2, and no trace."""
    run = rehearse("--num-clusters", "one")
    assert run.finish() == 2
    assert len(run.output.splitlines()) == 1
    assert "num_clusters = 'one' (flag --num-clusters)" in run.output
    assert not (tmp_path / "report").exists()


def test_local_mode_refuses_a_running_emulator_of_another_region(rehearse: Rehearse, tmp_path: Path) -> None:
    """Its logs and bucket would be looked for in the wrong place."""
    assert rehearsal.emulator(tmp_path, "up", "--region", REGION).returncode == 0
    run = rehearse(**settings(**SMALL))
    assert run.finish() == 2
    assert f"region = 'us-east-1': the emulator that runs already has '{REGION}'" in run.output


def test_the_users_own_aws_settings_are_out_of_reach_in_local_mode(rehearse: Rehearse) -> None:
    """A profile, keys, a region and an endpoint of the user's change nothing: the run does not touch their account."""
    theirs = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "ap-southeast-2",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    run = rehearse(**settings(**SMALL), **theirs)
    assert run.finish() == 0, run.output
    assert run.report["removed"] is True


WATCH = """
import os, sys

def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not arguments[1][0].startswith("127."):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{sys.argv}: {arguments[1]}\\n")

sys.addaudithook(watch)
"""


def test_local_mode_talks_to_loopback_only(rehearse: Rehearse, tmp_path: Path) -> None:
    """No telemetry, no question for the machine's own role (169.254.169.254), no AWS: in the run and the emulator."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(WATCH)
    watched = tmp_path / "watched"
    variables = {"PYTHONPATH": str(tmp_path / "hook"), "WATCHED": str(watched), "AWS_EC2_METADATA_DISABLED": "false"}
    run = rehearse(**settings(**SMALL), **variables)
    assert run.finish() == 0, run.output
    assert not watched.exists(), watched.read_text()
