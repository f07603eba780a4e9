"""Boto3: every waiter and paginator of the operations that there are, errors, retries, streams, presigned URLs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_programs import HERE, ROLE, WORDS_IMAGE, User

from emulator.operations import OPERATIONS

PROGRAMS = HERE / "boto3"


@pytest.fixture
def run(user: User, client_python: Callable[[str], Path], data: tuple[str, str]) -> Callable[..., Any]:
    """Run a program of boto3's with the bucket, the image and the role; returns what it prints."""
    python = client_python("boto3")
    return lambda program, *arguments: user.result(
        [python, PROGRAMS / program, data[0], WORDS_IMAGE, ROLE, *arguments], PYTHONWARNINGS="error"
    )


def test_every_waiter_ends_as_its_model_says(run: Callable[..., Any]) -> None:
    """Each acceptor of each waiter of an implemented operation is met: success returns, failure raises its reason."""
    waiters = run("waiters.py", ",".join(OPERATIONS))
    assert {"endpoint_in_service", "endpoint_deleted", "training_job_completed_or_stopped"} <= set(waiters)
    for name, waiter in waiters.items():
        assert sorted(waiter["seen"]) == sorted(waiter["acceptors"]), name
        for acceptor, outcome in waiter["seen"].items():
            state, expected = acceptor.split(": ")
            if state == "success":
                assert outcome == "success", (name, acceptor)
            else:
                assert outcome.startswith("Waiter encountered a terminal failure state"), (name, acceptor)
                assert outcome.endswith((f': "{expected}"', f": {expected}")), (name, acceptor)


def test_every_paginator_gives_everything_once(run: Callable[..., Any]) -> None:
    """All items, none twice, in pages of the size asked for; a list that was cut short goes on where it ended."""
    result = run("paginators.py", ",".join(OPERATIONS))
    assert {"ListModels", "ListEndpointConfigs", "ListEndpoints", "ListTrainingJobs", "ListTags"} <= set(
        result["found"]
    )
    for operation, found in result["found"].items():
        expected, sizes = (result["tags"], [50]) if operation == "ListTags" else (result["names"], [3, 3, 1])
        assert found["sizes"] == sizes, operation
        assert sorted(found["all"]) == sorted(expected), operation
        first, rest = found["parts"]
        assert first + rest == found["all"], operation
        assert len(first) == 4, operation


def test_errors_are_the_clients_own_classes_with_awss_words(run: Callable[..., Any]) -> None:
    """What a program catches by class, reads or looks up by request id is there; nothing is tried again in vain."""
    result = run("errors.py")
    for name, (kind, code, status, text) in {
        "name taken": ("ResourceInUse", "ResourceInUse", 400, "must be unique within an AWS account and region"),
        "no such job": ("ClientError", "ValidationException", 400, "Requested resource not found."),
        "no such job to stop": ("ClientError", "ValidationException", 400, "Requested resource not found."),
        "no such endpoint": ("ClientError", "ValidationException", 400, "Could not find endpoint "),
        "no such model": ("ClientError", "ValidationException", 400, "Could not find model "),
        "bad name": ("ClientError", "ValidationException", 400, "1 validation error detected: Value 'not_allowed'"),
        "bad token": ("ClientError", "ValidationException", 400, "Invalid NextToken"),
        "not there": ("ClientError", "NotImplemented", 501, "CreateNotebookInstance"),
        "wrong key": ("ClientError", "InvalidSignatureException", 400, "signature"),
        "other service": ("ClientError", "NotImplemented", 501, "dynamodb"),
        "no endpoint to invoke": ("ValidationError", "ValidationError", 400, "Endpoint nowhere of account"),
    }.items():
        error = result["errors"][name]
        assert (error["class"], error["code"], error["status"]) == (kind, code, status), error
        assert text in error["message"], error
        assert error["request_id"], name
        assert error["retries"] == 0, error
    assert result["retries"] == {"legacy": 0, "standard": 0, "adaptive": 0}


def test_a_whole_round_with_boto3(run: Callable[..., Any]) -> None:
    """Train, deploy, invoke with every way to read the stream, share objects by URL, remove; nothing is left."""
    result = run("invocations.py")
    invoked = result["invoked"]
    assert invoked["body"] == {
        "words": ["hello", "world"],
        "body": "one",
        "content_type": "text/plain",
        "accept": "application/json",
        "attributes": "a=b",
        "greeting": "hello",
    }
    assert invoked["same"] == [True, True, True]
    assert invoked["streamed"] == "piece"
    assert invoked["headers"] == ["application/json", "a", "served=yes"]
    assert invoked["refused"] == {"OriginalStatusCode": 400, "OriginalMessage": '{"error": "refused"}', "retries": 0}
    assert result["presigned"] == {"put": 200, "got": "größer", "changed": 403}
    assert "serving" in result["lines"]
    assert result["left"] == [[], [], []]
