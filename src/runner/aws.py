"""The AWS session of a run, and the check that its credentials work before anything is made."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runner.errors import SettingsError

HOW_TO_SIGN_IN = (
    "Sign in first (`aws configure`, `aws sso login`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), "
    "or rehearse without an account: --mode local"
)


def session(region: str) -> Any:
    """Return a boto3 session that was seen to hold working credentials.

    Raises SettingsError, within seconds, when there are none or they are refused: nothing was made by then.
    """
    boto_session = boto3.Session(region_name=region)
    if boto_session.get_credentials() is None:
        raise SettingsError(f"AWS credentials: none were found. {HOW_TO_SIGN_IN}")
    quick = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        boto_session.client("sts", config=quick).get_caller_identity()
    except ClientError as error:
        problem = error.response["Error"]
        raise SettingsError(
            f"AWS credentials: refused ({problem['Code']}: {problem['Message']}). {HOW_TO_SIGN_IN}"
        ) from None
    except BotoCoreError as error:
        raise SettingsError(f"AWS: cannot be reached to check the credentials ({error}). {HOW_TO_SIGN_IN}") from None
    return boto_session
