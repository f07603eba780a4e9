"""Credentials are checked before anything is made, and what is wrong with them is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runner.aws import check_credentials, clients
from runner.errors import SettingsError

IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>A</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine's stands before loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some that look right."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@contextmanager
def fake_sts(status: int, body: str) -> Iterator[str]:
    """STS's endpoint, which gives one answer to everything; yields its URL."""

    class FakeSts(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with HTTPServer(("127.0.0.1", 0), FakeSts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def refusal() -> str:
    """What the check says; always with the ways to sign in, and in one line."""
    with pytest.raises(SettingsError, match=r"(Sign in first|Check the network).* --mode local$") as caught:
        check_credentials("us-east-1")
    return str(caught.value)


def test_no_credentials() -> None:
    """The usual state of a machine that was never signed in."""
    assert refusal().startswith("AWS credentials: none were found.")


def test_a_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE is read before any credentials."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert refusal().startswith("AWS credentials: cannot be used (The config profile (nobody) could not be found")


def test_a_program_for_credentials_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `credential_process` of an expired single sign-on does."""
    (tmp_path / "config").write_text("[default]\ncredential_process = false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert refusal().startswith("AWS credentials: cannot be used (Error when retrieving credentials from custom-")


@pytest.mark.usefixtures("_credentials")
def test_credentials_that_aws_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AWS's own code and words."""
    with fake_sts(403, REFUSAL) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        assert refusal().startswith("AWS credentials: refused (InvalidClientTokenId: The security token included in")


@pytest.mark.usefixtures("_credentials")
def test_aws_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the connection that is wrong, not the credentials."""
    with fake_sts(200, IDENTITY) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    assert refusal().startswith("AWS: cannot be reached to check the credentials (Could not connect to the endpoint")


@pytest.mark.usefixtures("_credentials")
def test_credentials_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said."""
    with fake_sts(200, IDENTITY) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        check_credentials("us-east-1")


@pytest.mark.usefixtures("_credentials")
def test_clients_go_where_the_environment_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them honour AWS_ENDPOINT_URL: it is how they reach the emulator."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    made = clients("eu-west-1")
    for client in (made.s3, made.sagemaker, made.runtime, made.logs):
        assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:1", "eu-west-1")
        client.close()


@pytest.mark.usefixtures("_credentials")
def test_an_endpoint_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore's ValueError does not reach the user as a traceback."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert refusal().startswith("AWS: cannot be reached to check the credentials (Invalid endpoint: nonsense)")
