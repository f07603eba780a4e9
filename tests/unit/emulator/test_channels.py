"""Channels and artifacts, against a real S3 of LocalStack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.channels import Share, TransferFailed, download, download_object, download_prefix, split, upload
from emulator.errors import NotImplementedHere


def channel(uri: str, **more: Any) -> dict[str, Any]:
    """An element of InputDataConfig; `source` goes into its S3DataSource."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **more}


def put(s3: Any, bucket: str, *keys: str) -> None:
    """Make objects that hold their own key."""
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def files(folder: Path) -> dict[str, str]:
    """The files below the folder, and what they hold."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


KEYS = ("data/train/a", "data/train/b/c", "data/train2/d", "data/train.csv", "data/train/", "other/x")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("data/train/", {"a": "data/train/a", "b/c": "data/train/b/c"}),
        (
            "data/train",
            {
                "a": "data/train/a",
                "b/c": "data/train/b/c",
                "train2/d": "data/train2/d",
                "train.csv": "data/train.csv",
            },
        ),
        ("data/train.csv", {"train.csv": "data/train.csv"}),
        ("oth", {"other/x": "other/x"}),
        ("", {key: key for key in KEYS if not key.endswith("/")}),
    ],
)
def test_prefixes(s3: Any, bucket: str, tmp_path: Path, prefix: str, expected: dict[str, str]) -> None:
    """A prefix need not end at a slash; folders are laid out below it, and a console's "folders" are no files."""
    put(s3, bucket, *KEYS)
    download(s3, channel(f"s3://{bucket}/{prefix}"), tmp_path)
    assert files(tmp_path) == expected


def test_odd_keys(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Keys are taken as they are: nothing in them is decoded."""
    keys = ["a b", "ä/ö", "per%20cent", "plus+", "quote'\"", "q?x=1", "hash#1", "~/.x", "...", "a\\b", "😀"]
    put(s3, bucket, *(f"p/{key}" for key in keys))
    download(s3, channel(f"s3://{bucket}/p/"), tmp_path)
    assert files(tmp_path) == {key: f"p/{key}" for key in keys}


@pytest.mark.parametrize("key", ["p/../x", "p/a/../../../x", "p/./x", "p//x", "p/" + "x" * 256])
def test_keys_that_cannot_be_paths(s3: Any, bucket: str, tmp_path: Path, key: str) -> None:
    """A key that would leave the folder, or names no file, is refused by name, and nothing is written."""
    put(s3, bucket, "p/good")
    s3.put_object(Bucket=bucket, Key=key, Body=b"")
    with pytest.raises(TransferFailed, match="cannot be the name of a file"):
        download(s3, channel(f"s3://{bucket}/p/"), tmp_path / "channel")
    assert files(tmp_path) == {}


def test_a_file_where_a_folder_must_be(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Two objects that cannot be files of one folder are an error that names one of them."""
    put(s3, bucket, "p/a", "p/a/b")
    with pytest.raises(TransferFailed, match="p/a"):
        download(s3, channel(f"s3://{bucket}/p/"), tmp_path)


@pytest.mark.parametrize("name", ["bucket", "missing-bucket-of-nobody"])
def test_no_objects(s3: Any, bucket: str, tmp_path: Path, name: str) -> None:
    """A prefix without objects is an error in AWS's words; a bucket that is not there is one too."""
    uri = f"s3://{bucket if name == 'bucket' else name}/none/"
    expected = "No S3 objects found under S3 URL" if name == "bucket" else "NoSuchBucket"
    with pytest.raises(TransferFailed, match=expected):
        download(s3, channel(uri), tmp_path)


@pytest.fixture
def small_pages(s3: Any) -> Iterator[None]:
    """Makes a page of a listing two keys long instead of a thousand."""

    def shorten(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 2

    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", shorten)
    yield
    s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", shorten)


@pytest.mark.usefixtures("small_pages")
def test_more_than_one_page(s3: Any, bucket: str, tmp_path: Path) -> None:
    """All pages of a listing arrive, and a host's share is every n-th object when the channel is sharded."""
    put(s3, bucket, *(f"p/{number}" for number in range(7)))
    sharded = channel(f"s3://{bucket}/p/", source={"S3DataDistributionType": "ShardedByS3Key"})
    for host in (0, 1):
        download(s3, sharded, tmp_path / str(host), Share(host, 2))
    download(s3, channel(f"s3://{bucket}/p/"), tmp_path / "all", Share(1, 2))
    assert sorted(files(tmp_path / "0")) == ["0", "2", "4", "6"]
    assert sorted(files(tmp_path / "1")) == ["1", "3", "5"]
    assert sorted(files(tmp_path / "all")) == list("0123456")


def test_large_objects(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Objects of several parts come and go whole."""
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 80_000)
    upload(s3, source, f"s3://{bucket}/p/large")
    assert "-" in s3.head_object(Bucket=bucket, Key="p/large")["ETag"]
    download(s3, channel(f"s3://{bucket}/p/"), tmp_path / "channel")
    assert (tmp_path / "channel/large").read_bytes() == source.read_bytes()


def test_upload_with_a_key(s3: Any, bucket: str, tmp_path: Path) -> None:
    """A KMS key is used where one is named."""
    (tmp_path / "file").write_text("content")
    upload(s3, tmp_path / "file", f"s3://{bucket}/x", kms_key_id="alias/aws/s3")
    assert s3.head_object(Bucket=bucket, Key="x")["ServerSideEncryption"] == "aws:kms"
    download_object(s3, f"s3://{bucket}/x", tmp_path / "new/folder/x")
    assert (tmp_path / "new/folder/x").read_text() == "content"


@pytest.mark.parametrize("uri", ["s3://BUCKET/missing", "s3://missing-bucket-of-nobody/x", "https://host/x", "s3://"])
def test_what_cannot_be_fetched(s3: Any, bucket: str, tmp_path: Path, uri: str) -> None:
    """The error names the URI."""
    uri = uri.replace("BUCKET", bucket)
    with pytest.raises(TransferFailed) as caught:
        download_object(s3, uri, tmp_path / "x")
    assert uri in str(caught.value)


def test_what_cannot_be_stored(s3: Any, tmp_path: Path) -> None:
    """A missing file and a missing bucket are errors that name the URI."""
    (tmp_path / "x").write_text("x")
    for path in (tmp_path / "x", tmp_path / "missing"):
        with pytest.raises(TransferFailed, match="s3://missing-bucket-of-nobody/x"):
            upload(s3, path, "s3://missing-bucket-of-nobody/x")


def test_manifest(s3: Any, bucket: str, tmp_path: Path) -> None:
    """A manifest names objects below a prefix; their paths below the channel are those that it names."""
    put(s3, bucket, "p/a", "p/b/c", "p/d")
    s3.put_object(Bucket=bucket, Key="m", Body=json.dumps([{"prefix": f"s3://{bucket}/p/"}, "a", "b/c"]))
    download(s3, channel(f"s3://{bucket}/m", source={"S3DataType": "ManifestFile"}), tmp_path)
    assert files(tmp_path) == {"a": "p/a", "b/c": "p/b/c"}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "../../../../tmp/x",
        "/tmp/x",
        "a/../../x",
        "a//x",
        "",
        ".",
        "a/.",
        "n" * 256,
        "a\0b",
        "\ud800",
        "ä" * 128,
    ],
)
def test_manifests_that_lead_elsewhere(s3: Any, bucket: str, tmp_path: Path, path: str) -> None:
    """A path that leaves the channel's folder, or cannot be a file, is refused before anything is fetched."""
    put(s3, bucket, "data/fine")
    manifest = json.dumps([{"prefix": f"s3://{bucket}/data/"}, "fine", path])
    s3.put_object(Bucket=bucket, Key="manifest", Body=manifest.encode())
    request = channel(f"s3://{bucket}/manifest", source={"S3DataType": "ManifestFile"})
    with pytest.raises(TransferFailed, match="cannot be the name of a file"):
        download(s3, request, tmp_path / "deep/train")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{", "not a manifest"),
        ("[]", "not a manifest"),
        ('["a"]', "not a manifest"),
        ('[{"prefix": "s3://BUCKET/p/"}, 1]', "not a manifest"),
        ('[{"prefix": "BUCKET/p/"}, "a"]', "not an S3 URI"),
        ('[{"prefix": "s3://BUCKET/p/"}, "../x"]', "cannot be the name of a file"),
        ('[{"prefix": "s3://BUCKET/p/"}, "missing"]', "p/missing"),
        ('[{"prefix": "s3://BUCKET/p/"}]', "No S3 objects found"),
    ],
)
def test_wrong_manifests(s3: Any, bucket: str, tmp_path: Path, body: str, problem: str) -> None:
    """What is wrong with a manifest, or with what it names, is said."""
    s3.put_object(Bucket=bucket, Key="m", Body=body.replace("BUCKET", bucket))
    with pytest.raises(TransferFailed, match=problem):
        download(s3, channel(f"s3://{bucket}/m", source={"S3DataType": "ManifestFile"}), tmp_path)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"InputMode": "Pipe"}, "InputMode Pipe"),
        ({"InputMode": "FastFile"}, "InputMode FastFile"),
        ({"source": {"S3DataType": "Converse"}}, "Converse"),
        ({"source": {"InstanceGroupNames": ["a"]}}, "InstanceGroupNames"),
        ({"DataSource": {"FileSystemDataSource": {}}}, "FileSystemDataSource"),
    ],
)
def test_what_is_not_implemented(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    """What AWS has and this has not fails by name, before anything is asked of S3."""
    with pytest.raises(NotImplementedHere, match=named):
        download(None, channel("s3://b/p", **more), tmp_path)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"CompressionType": "Gzip"}, "CompressionType Gzip"),
        ({"RecordWrapperType": "RecordIO"}, "RecordWrapperType RecordIO"),
        ({"source": {"S3DataType": "AugmentedManifestFile"}}, "AugmentedManifestFile"),
    ],
)
def test_what_goes_with_pipe_mode(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    """AWS has these for Pipe mode only."""
    with pytest.raises(TransferFailed, match=named):
        download(None, channel("s3://b/p", **more), tmp_path)


def test_a_prefix_below_which_there_need_be_nothing(s3: Any, bucket: str, tmp_path: Path) -> None:
    """Checkpoints: only what is below the folder itself, and none the first time."""
    download_prefix(s3, f"s3://{bucket}/checkpoints/", tmp_path / "first")
    assert files(tmp_path / "first") == {}
    put(s3, bucket, "checkpoints/a", "checkpoints/b/c", "checkpoints2/d")
    download_prefix(s3, f"s3://{bucket}/checkpoints/", tmp_path / "second")
    assert files(tmp_path / "second") == {"a": "checkpoints/a", "b/c": "checkpoints/b/c"}
    with pytest.raises(TransferFailed, match="NoSuchBucket"):
        download_prefix(s3, "s3://missing-bucket-of-nobody/checkpoints/", tmp_path)


def test_split() -> None:
    """A key may hold anything, even what looks like a query."""
    assert split("s3://b/a?b#c%20") == ("b", "a?b#c%20")
    assert split("s3://b") == ("b", "")
