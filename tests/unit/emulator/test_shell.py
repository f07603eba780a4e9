"""What `env` prints for a shell."""

from __future__ import annotations

import botocore.session
import pytest

from emulator.shell import lines

ENVIRONMENT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "a b"}


def unset(present: dict[str, str] | None = None) -> set[str]:
    """The names that are taken away."""
    (line,) = [line for line in lines(ENVIRONMENT, present or {}) if line.startswith("unset ")]
    return set(line.split()[1:])


def test_values_are_quoted_and_the_users_files_do_not_count() -> None:
    """A profile or a `services` section of the user's would lead clients elsewhere."""
    printed = lines(ENVIRONMENT, {})
    assert "export AWS_SECRET_ACCESS_KEY='a b'" in printed
    assert "export AWS_CONFIG_FILE=/dev/null" in printed
    assert "export AWS_SHARED_CREDENTIALS_FILE=/dev/null" in printed


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_USE_FIPS_ENDPOINT",
    ],
)
def test_what_breaks_or_diverts_clients_is_unset(name: str) -> None:
    """Whether it is there now or comes from the shell's own start files."""
    assert name in unset()


def test_the_endpoints_of_our_services_are_unset_by_the_names_that_botocore_reads() -> None:
    """They win over AWS_ENDPOINT_URL."""
    session = botocore.session.get_session()
    services = ("s3", "s3control", "sts", "iam", "kms", "logs", "sagemaker", "sagemaker-runtime")
    ids = [session.get_service_model(service).service_id for service in services]
    assert {f"AWS_ENDPOINT_URL_{name.replace(' ', '_').upper()}" for name in ids} <= unset()


def test_every_endpoint_that_is_there_is_unset() -> None:
    """Of whichever service; what is no name for a shell is none of its variables."""
    present = {"AWS_ENDPOINT_URL_DYNAMODB": "http://x", "AWS_ENDPOINT_URL": "http://y", "AWS_ENDPOINT_URL_X;rm": "z"}
    assert "AWS_ENDPOINT_URL_DYNAMODB" in unset(present)
    assert not {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_X;rm"} & unset(present)
