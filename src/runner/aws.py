"""The AWS session of a run, its clients, and the check that its credentials work before anything is made."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from runner.errors import SettingsError

HOW_TO_SIGN_IN = (
    "Sign in first (`aws configure`, `aws sso login`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), "
    "or rehearse without an account: --mode local"
)
HOW_TO_REACH = (
    "Check the network, region, and AWS_ENDPOINT_URL if it is set, or rehearse without an account: --mode local"
)


@dataclass(frozen=True)
class Clients:
    """The boto3 session and the clients that a run uses."""

    session: Any
    s3: Any
    sagemaker: Any
    runtime: Any
    logs: Any


def clients(region: str) -> Clients:
    """Make the clients; like every AWS program they honour AWS_ENDPOINT_URL and the usual credentials."""
    session = boto3.Session(region_name=region)
    return Clients(
        session=session,
        s3=session.client("s3"),
        sagemaker=session.client("sagemaker"),
        runtime=session.client("sagemaker-runtime"),
        logs=session.client("logs"),
    )


def check_credentials(region: str) -> None:
    """Raise SettingsError, within seconds, when there are no AWS credentials or they are refused."""
    quick = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            raise SettingsError(f"AWS credentials: none were found. {HOW_TO_SIGN_IN}")
        with closing(session.client("sts", config=quick)) as sts:
            sts.get_caller_identity()
    except ClientError as error:
        problem = error.response["Error"]
        raise SettingsError(
            f"AWS credentials: refused ({problem['Code']}: {problem['Message']}). {HOW_TO_SIGN_IN}"
        ) from None
    except (NotConnected, HTTPClientError) as error:  # before and after a connection was made
        raise SettingsError(f"AWS: cannot be reached to check the credentials ({error}). {HOW_TO_REACH}") from None
    except ValueError as error:  # botocore's word for an endpoint that is no URL
        raise SettingsError(f"AWS: cannot be reached to check the credentials ({error}). {HOW_TO_REACH}") from None
    except BotoCoreError as error:
        raise SettingsError(f"AWS credentials: cannot be used ({error}). {HOW_TO_SIGN_IN}") from None
