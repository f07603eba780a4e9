"""The bucket (made when missing) and the upload of the training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from runner.errors import RunnerError


def ensure_bucket(s3: Any, bucket: str, region: str) -> bool:
    """Make the bucket when it is missing; tell whether it was made.

    Raises RunnerError when the name belongs to somebody else.
    """
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 403:  # AWS answers 403, not 404, for a bucket of another account
            raise RunnerError(
                f"bucket_name = {bucket!r}: the bucket exists, but these credentials may not use it. "
                "Names are global: choose another, or ask its owner for access"
            ) from None
        if status != 404:
            raise RunnerError(f"bucket_name = {bucket!r}: S3 answers {error}") from None
    else:
        return False
    # us-east-1 is the one region that may not be named as a location constraint.
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=bucket, **location)
    except ClientError as error:
        # Another run of ours may have made it between the two calls; then it is there, which is all we want.
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise RunnerError(f"bucket_name = {bucket!r}: cannot be made: {error}") from None
    s3.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    return True


def upload_folder(s3: Any, folder: Path, bucket: str, prefix: str) -> str:
    """Upload every file below `folder` under `prefix`; return the S3 URI that stands for the folder."""
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        s3.upload_file(str(file), bucket, f"{prefix}/{file.relative_to(folder).as_posix()}")
    return f"s3://{bucket}/{prefix}"
