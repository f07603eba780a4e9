"""What comes through a channel's pipe, from a real S3 of LocalStack."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import pytest

from emulator.channel_objects import Share, TransferFailed
from emulator.pipe_mode import stream


def channel(uri: str, **more: Any) -> dict[str, Any]:
    """An element of InputDataConfig; `source` goes into its S3DataSource."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **more}


def put(s3: Any, bucket: str, **objects: bytes) -> None:
    """Objects below p/."""
    for key, body in objects.items():
        s3.put_object(Bucket=bucket, Key=f"p/{key}", Body=body)


def read(s3: Any, *arguments: Any) -> bytes:
    """All of an epoch."""
    return b"".join(stream(s3, *arguments))


def record(body: bytes) -> bytes:
    """A record of RecordIO: magic number, length, content, padding."""
    return struct.pack("<II", 0xCED7230A, len(body)) + body + b"\0" * (-len(body) % 4)


def test_objects_one_after_the_other(s3: Any, bucket: str) -> None:
    """In the order of their keys; of a manifest in its own; a host's share alone when sharded."""
    put(s3, bucket, a=b"1\n", b=b"2\n", c=b"3\n")
    assert read(s3, channel(f"s3://{bucket}/p/")) == b"1\n2\n3\n"
    sharded = channel(f"s3://{bucket}/p/", source={"S3DataDistributionType": "ShardedByS3Key"})
    assert [read(s3, sharded, Share(host, 2)) for host in (0, 1)] == [b"1\n3\n", b"2\n"]
    s3.put_object(Bucket=bucket, Key="m", Body=json.dumps([{"prefix": f"s3://{bucket}/p/"}, "c", "a"]))
    assert read(s3, channel(f"s3://{bucket}/m", source={"S3DataType": "ManifestFile"})) == b"3\n1\n"


def test_gzip(s3: Any, bucket: str) -> None:
    """Objects are unpacked, also those of several members; one that is not packed, or not whole, is an error."""
    packed = gzip.compress(b"first ") + gzip.compress(b"second ")
    put(s3, bucket, a=packed, b=gzip.compress(b"third"))
    assert read(s3, channel(f"s3://{bucket}/p/", CompressionType="Gzip")) == b"first second third"
    for body in (b"plain", packed[:-3]):
        put(s3, bucket, a=body)
        with pytest.raises(TransferFailed, match="p/a: not in gzip's format"):
            read(s3, channel(f"s3://{bucket}/p/", CompressionType="Gzip"))


def test_records(s3: Any, bucket: str) -> None:
    """Each object is a record, after it was unpacked."""
    put(s3, bucket, a=gzip.compress(b"12345"), b=gzip.compress(b""))
    wrapped = channel(f"s3://{bucket}/p/", CompressionType="Gzip", RecordWrapperType="RecordIO")
    assert read(s3, wrapped) == record(b"12345") + record(b"")


def test_shuffling(s3: Any, bucket: str) -> None:
    """Another order in another epoch, the same for the same seed; all hosts together get everything."""
    put(s3, bucket, **{f"k{number:02}": f"{number:02} ".encode() for number in range(20)})
    shuffled = channel(f"s3://{bucket}/p/", ShuffleConfig={"Seed": 7})
    first, second = (read(s3, shuffled, Share(), epoch) for epoch in (0, 1))
    assert first == read(s3, shuffled, Share(), 0)
    assert first != second
    assert sorted(first.split()) == sorted(second.split()) == [f"{number:02}".encode() for number in range(20)]
    shuffled["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    shares = [read(s3, shuffled, Share(host, 2), 1).split() for host in (0, 1)]
    assert sorted(shares[0] + shares[1]) == sorted(second.split())


def test_augmented_manifests(s3: Any, bucket: str) -> None:
    """The attributes that were asked for, in that order: an object for "-ref", else the value itself."""
    put(s3, bucket, cat=b"CAT", dog=b"DOG")
    lines = [{"image-ref": f"s3://{bucket}/p/{name}", "label": label} for name, label in (("cat", 1), ("dog", "two"))]
    s3.put_object(Bucket=bucket, Key="m", Body="\n".join(map(json.dumps, lines)) + "\n")
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["image-ref", "label"]}
    augmented = channel(f"s3://{bucket}/m", source=source, RecordWrapperType="RecordIO")
    assert read(s3, augmented) == b"".join(map(record, (b"CAT", b"1", b"DOG", b"two")))
    source["S3DataDistributionType"] = "ShardedByS3Key"
    assert read(s3, channel(f"s3://{bucket}/m", source=source), Share(1, 2)) == b"DOGtwo"


@pytest.mark.parametrize(
    ("body", "problem"),
    [("", "No S3 objects found"), ("{", "no JSON object with label"), ('{"a": 1}', "label"), ("[1]", "label")],
)
def test_wrong_augmented_manifests(s3: Any, bucket: str, body: str, problem: str) -> None:
    """The manifest is named, and what is wrong with it."""
    s3.put_object(Bucket=bucket, Key="m", Body=body)
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["label"]}
    with pytest.raises(TransferFailed, match=problem) as caught:
        read(s3, channel(f"s3://{bucket}/m", source=source))
    assert f"s3://{bucket}/m" in str(caught.value)


def test_what_is_not_there(s3: Any, bucket: str) -> None:
    """An object that a manifest names is said to be missing."""
    s3.put_object(Bucket=bucket, Key="m", Body=json.dumps([{"prefix": f"s3://{bucket}/p/"}, "c"]))
    with pytest.raises(TransferFailed, match=r"p/c: .*NoSuchKey"):
        read(s3, channel(f"s3://{bucket}/m", source={"S3DataType": "ManifestFile"}))
