"""The bucket is found, made or refused, and every file arrives under its key."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner.errors import RunnerError
from runner.upload import ensure_bucket, upload_files


def refusal(operation: str, status: int, code: str) -> ClientError:
    """S3's error, as botocore raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": "so it is"}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


class FakeS3:
    """Answers as S3 does for buckets that LocalStack has not: other accounts', or made in between."""

    def __init__(self, head: ClientError | dict[str, Any], create: ClientError | None = None) -> None:
        self.head, self.create, self.waited = head, create, False

    def head_bucket(self, Bucket: str) -> dict[str, Any]:
        """What it was given."""
        if isinstance(self.head, ClientError):
            raise self.head
        return self.head

    def create_bucket(self, Bucket: str) -> None:
        """Refuse it, if so told."""
        if self.create:
            raise self.create

    def get_waiter(self, name: str) -> FakeS3:
        """For bucket_exists only."""
        assert name == "bucket_exists"
        return self

    def wait(self, **_: Any) -> None:
        """Not at all."""
        self.waited = True


MISSING = refusal("HeadBucket", 404, "404")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_missing_bucket_is_made_in_the_region_and_found_again(s3: Any, region: str) -> None:
    """us-east-1 is the one that may not be named as a location constraint, and is none in the answer."""
    name = f"test-{uuid.uuid4().hex}"
    assert ensure_bucket(s3, name, region)
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == (None if region == "us-east-1" else region)
    assert not ensure_bucket(s3, name, region)


def test_a_bucket_of_another_region_is_refused(s3: Any) -> None:
    """SageMaker reads from its own region; both regions are named."""
    name = f"test-{uuid.uuid4().hex}"
    ensure_bucket(s3, name, "eu-central-1")
    with pytest.raises(RunnerError, match=f"bucket_name = '{name}': is in eu-central-1, and region is us-east-1"):
        ensure_bucket(s3, name, "us-east-1")


def test_an_s3_that_does_not_tell_the_region_is_believed() -> None:
    """Not every S3 answers HeadBucket with BucketRegion."""
    assert not ensure_bucket(FakeS3({}), "a-bucket", "eu-west-1")


def test_somebody_elses_bucket_is_refused() -> None:
    """AWS answers 403 for it; the message says that it may also be a missing permission."""
    client = FakeS3(refusal("HeadBucket", 403, "403"))
    with pytest.raises(RunnerError, match=r"bucket_name = 'a-bucket': the bucket exists.*s3:ListBucket"):
        ensure_bucket(client, "a-bucket", "us-east-1")


def test_any_other_answer_is_passed_on() -> None:
    """It is neither there nor known to be missing: nothing is made."""
    client = FakeS3(refusal("HeadBucket", 400, "400"), create=refusal("CreateBucket", 400, "MustNotBeTried"))
    with pytest.raises(RunnerError, match=r"bucket_name = 'a-bucket': S3 answers .*\(400\)"):
        ensure_bucket(client, "a-bucket", "us-east-1")


def test_a_bucket_that_another_run_of_ours_has_just_made_will_do() -> None:
    """Two runs may begin at once."""
    client = FakeS3(MISSING, create=refusal("CreateBucket", 409, "BucketAlreadyOwnedByYou"))
    assert ensure_bucket(client, "a-bucket", "us-east-1")
    assert client.waited


def test_a_bucket_that_cannot_be_made_is_told() -> None:
    """With S3's own words."""
    client = FakeS3(MISSING, create=refusal("CreateBucket", 403, "AccessDenied"))
    with pytest.raises(RunnerError, match=r"bucket_name = 'a-bucket': cannot be made: .*AccessDenied"):
        ensure_bucket(client, "a-bucket", "us-east-1")


def test_files_arrive_under_their_relative_paths(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Folders become parts of keys, and what is not named stays here."""
    for name in ("train/a.npz", "test/b.npz", "test/not-asked-for"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = [tmp_path / "train/a.npz", tmp_path / "test/b.npz"]
    upload_files(s3, files, tmp_path, f"s3://{bucket}/some/prefix")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["some/prefix/test/b.npz", "some/prefix/train/a.npz"]
    assert s3.get_object(Bucket=bucket, Key=keys[1])["Body"].read() == b"train/a.npz"


def test_a_file_that_is_gone_is_named(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Somebody may clear the folder meanwhile."""
    missing = tmp_path / "train" / "a.npz"
    with pytest.raises(RunnerError, match=f"^{missing}: cannot be uploaded to s3://{bucket}/p/train/a.npz: "):
        upload_files(s3, [missing], tmp_path, f"s3://{bucket}/p")


def test_a_file_that_s3_refuses_is_named(s3: Any, tmp_path: Path) -> None:
    """With S3's own code."""
    file = tmp_path / "a.npz"
    file.touch()
    with pytest.raises(RunnerError, match=f"^{file}: cannot be uploaded to .*NoSuchBucket"):
        upload_files(s3, [file], tmp_path, f"s3://test-{uuid.uuid4().hex}/p")
