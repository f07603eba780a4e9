"""LocalStack as the emulator starts it."""

from __future__ import annotations

import http.client
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from emulator.engine.inherited import inherited
from emulator.engine.processes import Processes
from emulator.localstack import LocalStack, LocalStackFailed

REQUIREMENTS = Path(__file__).parents[3] / "local/localstack/requirements.txt"


def wait_for_end(pid: int) -> None:
    """Polls until the process is gone or a zombie, at most for ten seconds."""
    deadline = time.monotonic() + 10
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.02)


def test_the_services(localstack_program: Any) -> None:
    """S3 with several parts, KMS, STS, IAM and Logs work, and others are not there."""
    s3 = localstack_program.client("s3")
    s3.create_bucket(Bucket="services")
    content = os.urandom(9_000_000)
    s3.upload_fileobj(io.BytesIO(content), "services", "large", ExtraArgs={"ServerSideEncryption": "aws:kms"})
    assert s3.get_object(Bucket="services", Key="large")["Body"].read() == content
    kms = localstack_program.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    secret = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"
    assert localstack_program.client("sts").get_caller_identity()["Account"] == "000000000000"
    iam = localstack_program.client("iam")
    arn = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    assert arn == "arn:aws:iam::000000000000:role/role"
    logs = localstack_program.client("logs")
    logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    where = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": "job/algo-1"}
    logs.create_log_stream(**where)
    logs.put_log_events(**where, logEvents=[{"timestamp": int(time.time() * 1000), "message": "a line"}])
    assert [event["message"] for event in logs.get_log_events(**where)["events"]] == ["a line"]


def test_loopback_only(localstack_program: Any) -> None:
    """It listens on 127.0.0.1 and nowhere else, whatever LocalStack makes of its setting."""
    port = int(localstack_program.base_url.rpartition(":")[2])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_the_users_endpoint_is_ignored(localstack_program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients go to this LocalStack even where the shell was set up for the emulator, or for a proxy."""
    for name in ("AWS_ENDPOINT_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = localstack_program.client("sts", config=Config(retries={"total_max_attempts": 1}))
    assert client.meta.endpoint_url == localstack_program.base_url
    assert client.get_caller_identity()
    assert localstack_program.alive()


def test_life(environments: Any, tmp_path: Path) -> None:
    """Started it is alive, stopped it is gone with all it wrote but its log; it can be started again."""
    program = LocalStack(environments, REQUIREMENTS, tmp_path / "data", tmp_path / "processes")
    assert not program.alive()
    for _ in range(2):
        program.start()
        assert program.alive()
        client = program.client("s3")
        client.create_bucket(Bucket="life")
        client.put_object(Bucket="life", Key="x", Body=b"x" * 1_000_000)
        assert list((tmp_path / "data/localstack").glob("*/objects/life"))
        program.stop()
        assert not program.alive()
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["localstack.log"]
        assert not list((tmp_path / "processes").iterdir())
    program.stop()


def test_a_failure_shows_the_log(environments: Any, tmp_path: Path) -> None:
    """When it does not start, the error has the end of its log, and nothing is left."""
    (tmp_path / "requirements.txt").write_bytes(REQUIREMENTS.read_bytes())
    (tmp_path / "serve.py").write_text("print('it is the moon'); raise SystemExit(7)")
    program = LocalStack(environments, tmp_path / "requirements.txt", tmp_path / "data", tmp_path / "processes")
    with pytest.raises(LocalStackFailed, match=r"code 7[\s\S]*localstack\.log[\s\S]*it is the moon"):
        program.start()
    assert not list((tmp_path / "processes").iterdir())


OWNER = """
import os, sys, time
from pathlib import Path
from emulator.environments import Environments
from emulator.localstack import LocalStack
cache, requirements, folder = map(Path, sys.argv[1:])
program = LocalStack(Environments(cache, print), requirements, folder / "data", folder / "processes")
program.start()
print(program._program.popen.pid, flush=True)
time.sleep(1000)
"""


def test_it_ends_with_its_parent(environments: Any, tmp_path: Path) -> None:
    """When the emulator is killed, it ends by itself; its record is no leftover for the next one to end."""
    arguments = [sys.executable, "-c", OWNER, str(environments.cache_dir), str(REQUIREMENTS), str(tmp_path)]
    variables = {**inherited(), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=variables) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_for_end(pid)
    assert not list((tmp_path / "data/localstack").iterdir())
    assert Processes(tmp_path / "processes").remove_leftovers() == []
    assert not list((tmp_path / "processes").iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": "http://127.0.0.1"},
    ],
)
def test_web_pages_are_kept_out(localstack_program: Any, headers: dict[str, str]) -> None:
    """It checks no credentials: neither a name made to lead here, nor a browser's request, gets an answer of S3."""
    port = int(localstack_program.base_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={name: value.format(port=port) for name, value in headers.items()})
    assert connection.getresponse().status == 403
    connection.close()


def test_the_emulators_clients_are_let_in(localstack_program: Any) -> None:
    """By the names that they have for the emulator, its containers' included."""
    port = int(localstack_program.base_url.rpartition(":")[2])
    for host in ("127.0.0.1:1234", "localhost:1234", "172.17.0.1:1234", "host.docker.internal:1234"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/_localstack/health", headers={"Host": host})
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_other_users_are_kept_out(localstack_program: Any) -> None:
    """Also one that has gone when it is looked for: what it asked for is not done."""
    port = int(localstack_program.base_url.rpartition(":")[2])
    ask = (
        "import http.client, sys\n"
        f"connection = http.client.HTTPConnection('127.0.0.1', {port}, timeout=10)\n"
        "connection.request('PUT', '/of-another-user')\n"
        "print(connection.getresponse().status) if 'stay' in sys.argv else connection.close()\n"
    )
    for manner in ("stay", "leave"):
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-S", "-c", ask, manner], user=65534, group=65534, extra_groups=[], cwd="/",
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == ("403\n" if manner == "stay" else "")
    buckets = localstack_program.client("s3").list_buckets()["Buckets"]
    assert "of-another-user" not in [bucket["Name"] for bucket in buckets]


def test_a_log_that_somebody_removed(environments: Any, tmp_path: Path) -> None:
    """It is no reason to end: nothing needs it."""
    program = LocalStack(environments, REQUIREMENTS, tmp_path, tmp_path / "processes")
    program.log.unlink(missing_ok=True)
    program.check()
