"""The AWS CLI, as a script of the shell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from client_programs import HERE, ROLE, WORDS_IMAGE, User


def test_the_aws_cli(user: User, client_python: Callable[[str], Path], data: tuple[str, str]) -> None:
    """Objects, a job with `wait`, its log, an endpoint with its waiters, pages, --query, tags; exit statuses."""
    path = os.pathsep.join([str(client_python("cli").parent), user.variables["PATH"]])
    run = user.run(["bash", HERE / "cli/program.sh", data[0], WORDS_IMAGE, ROLE], PATH=path, AWS_PAGER="")
    assert run.returncode == 0, run.stdout + run.stderr
    said = {}
    for section in run.stdout.split("--- ")[1:]:
        title, _, text = section.partition("\n")
        said[title] = text.splitlines()
    bucket, name = data[0], f"{data[0]}-cli"
    arn = "arn:aws:sagemaker:us-east-1:000000000000"
    assert said["identity"] == ["000000000000"]
    assert said["s3"] == ["cli/a.txt", "cli/b.txt", "hello"]
    assert said["train"] == [f"{arn}:training-job/{name}", "Completed\tCompleted", name]
    assert said["log"] == ["words: hello world", "[test] words=2;"]
    assert said["deploy"] == [f"{arn}:{kind}/{name}" for kind in ("model", "endpoint-config", "endpoint")]
    assert said["invoke"][0] == "application/json\ta"
    answer = json.loads(said["invoke"][1])
    assert (answer["words"], answer["body"], answer["greeting"]) == (["hello", "world"], "one", "hello")
    refused = " ".join(said["invoke"][2:])
    assert "An error occurred (ModelError) when calling the InvokeEndpoint operation" in refused
    assert refused.endswith("exit status 254") or refused.endswith("exit status 255"), refused
    models = [f"{bucket}-{number}" for number in range(1, 6)]
    assert said["pages"][:5] == [f"{arn}:model/{model}" for model in models]
    everything = " ".join(said["pages"][5:-1]).split()
    assert everything == [*models, name]
    assert said["pages"][-1].split() == everything[3:]
    assert said["tags"] == ["team\twords"]
    gone = " ".join(said["end"])
    assert f'(ValidationException) when calling the DescribeEndpoint operation: Could not find endpoint "{arn}:' in gone
