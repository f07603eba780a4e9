"""One emulator for all clients, and an environment of its own for each."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import client_programs
import pytest
from client_programs import User


@pytest.fixture(scope="session")
def shell_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a shell has after `eval "$(python -m emulator env)"`, while that emulator runs."""
    with client_programs.shell(tmp_path_factory.mktemp("emulator")) as variables:
        yield variables


@pytest.fixture
def user(shell_variables: dict[str, str], tmp_path: Path) -> User:
    """A user of the emulator with an empty folder."""
    client_programs.sdk_settings(Path(shell_variables["HOME"]))
    return User(shell_variables, tmp_path)


@pytest.fixture(scope="session")
def client_python(environments: Any) -> Callable[[str], Path]:
    """The interpreter of a client's environment, by the name of its folder here."""
    return lambda client: client_programs.python(environments, client)


@pytest.fixture(scope="session")
def aws_client(shell_variables: dict[str, str]) -> Callable[[str], Any]:
    """Boto3's client of a service, with which a test looks at what a user's program did."""
    session = boto3.session.Session(
        shell_variables["AWS_ACCESS_KEY_ID"],
        shell_variables["AWS_SECRET_ACCESS_KEY"],
        region_name=shell_variables["AWS_REGION"],
    )
    return lambda service: session.client(service, endpoint_url=shell_variables["AWS_ENDPOINT_URL"])


@pytest.fixture
def data(aws_client: Callable[[str], Any]) -> tuple[str, str]:
    """A new bucket with two words, a word an object, below `words/`, and the URI of that prefix."""
    s3, bucket = aws_client("s3"), f"clients-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="words/a.txt", Body=b"hello")
    s3.put_object(Bucket=bucket, Key="words/b.txt", Body=b"world")
    return bucket, f"s3://{bucket}/words/"


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The AWS SDK for JavaScript; without Node.js the test is skipped, or fails with --require-node."""
    try:
        return client_programs.node_modules(os.environ)
    except client_programs.NodeMissing as error:
        if request.config.getoption("--require-node"):
            pytest.fail(str(error))
        pytest.skip(f"{error}. Then: tox -e clients")
