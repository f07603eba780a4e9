"""The bucket (made when missing) and the upload of the training data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from runner.errors import RunnerError


def ensure_bucket(s3: Any, bucket: str, region: str) -> bool:
    """Make the bucket when it is missing; tell whether it was made.

    Raises RunnerError when the bucket is somebody else's, or in another region, where SageMaker would not read it.
    """
    try:
        found = s3.head_bucket(Bucket=bucket).get("BucketRegion", region)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 403:  # AWS answers 403, not 404, for a bucket of another account
            raise RunnerError(
                f"bucket_name = {bucket!r}: the bucket exists, but these credentials may not use it. Names are global: "
                "choose another, or, if it is yours, get s3:ListBucket on it"
            ) from None
        if status != 404:
            raise RunnerError(f"bucket_name = {bucket!r}: S3 answers {error}") from None
    else:
        if found != region:
            raise RunnerError(
                f"bucket_name = {bucket!r}: is in {found}, and region is {region}. SageMaker needs both in one region: "
                "set region, or choose another bucket"
            )
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


def upload_files(s3: Any, files: Iterable[Path], folder: Path, uri: str) -> None:
    """Upload `files`, which lie below `folder`, under an S3 URI, with their relative paths as keys.

    Raises RunnerError that names the file which could not be uploaded.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for file in files:
        key = f"{prefix}/{file.relative_to(folder).as_posix()}"
        try:
            s3.upload_file(str(file), bucket, key)
        except (S3UploadFailedError, OSError) as error:
            raise RunnerError(f"{file}: cannot be uploaded to s3://{bucket}/{key}: {error}") from None
