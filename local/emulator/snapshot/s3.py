"""S3 as the snapshot needs it: objects and buckets with all that was said about them, by its own API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from botocore.exceptions import BotoCoreError, ClientError

from emulator.snapshot.connection import PASSING, Answer, Connections, Failing, NotThere, Refused
from emulator.snapshot.files import Entry

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_KEPT = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "expires",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-server-side-encryption",  # not its key: LocalStack's keys are gone when it ends
        "x-amz-server-side-encryption-bucket-key-enabled",
    }
)
_CHECKSUMS = tuple(f"x-amz-checksum-{name}" for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"))
# What a bucket has been set to: how it is asked for, how it is set, by which member, and where the answer has that.
_SETTINGS: tuple[tuple[str, str, str, str | None], ...] = (
    ("get_bucket_versioning", "put_bucket_versioning", "VersioningConfiguration", None),
    ("get_bucket_tagging", "put_bucket_tagging", "Tagging", None),
    ("get_bucket_policy", "put_bucket_policy", "Policy", "Policy"),
    ("get_bucket_cors", "put_bucket_cors", "CORSConfiguration", None),
    ("get_bucket_website", "put_bucket_website", "WebsiteConfiguration", None),
    ("get_bucket_lifecycle_configuration", "put_bucket_lifecycle_configuration", "LifecycleConfiguration", None),
    (
        "get_public_access_block",
        "put_public_access_block",
        "PublicAccessBlockConfiguration",
        "PublicAccessBlockConfiguration",
    ),
    (
        "get_bucket_encryption",
        "put_bucket_encryption",
        "ServerSideEncryptionConfiguration",
        "ServerSideEncryptionConfiguration",
    ),
)
_NO_REGION = "us-east-1"  # the region that a bucket without a LocationConstraint is in


class S3:
    """The S3 at that URL: `client` is a boto3 client that goes straight to it."""

    def __init__(self, base_url: str, region: str, client: Any) -> None:
        self._http = Connections(base_url, region)
        self._client = client

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._http.close()

    # Objects

    def read(self, bucket: str, key: str, keep: Callable[[Entry, Iterator[bytes]], None]) -> None:
        """Give the object as it is now, and its bytes as they come, to `keep`.

        Raises NotThere, Refused, Failing, and what `keep` raises.
        """
        path = _path(bucket, key)
        answer = self._http.request("GET", path, {"x-amz-checksum-mode": "ENABLED"})
        try:
            headers = _kept(answer.headers)
            about: dict[str, Any] = {"headers": headers, "etag": answer.headers.get("etag", "")}
            # LocalStack 4.9.2 does not count the tags of an object that has a version.
            if {"x-amz-tagging-count", "x-amz-version-id"} & answer.headers.keys() and (tags := self._tagging(path)):
                headers["x-amz-tagging"] = tags
            if "-" in about["etag"]:  # of several parts: their size is what the ETag depends on
                part = self._http.request("HEAD", f"{path}?partNumber=1")
                about["part_size"] = int(part.headers.get("content-length", 0))
            keep(Entry(bucket, key, about, int(answer.headers.get("content-length", 0))), answer.body)
        finally:
            answer.close()

    def write(self, entry: Entry, body: bytes | BinaryIO) -> None:
        """Make the object again. Raises Refused, Failing, NotThere (the bucket)."""
        assert entry.key is not None  # noqa: S101 - buckets are made by `make_bucket`
        path, headers = _path(entry.bucket, entry.key), dict(entry.about.get("headers", {}))
        part_size = entry.about.get("part_size", 0)
        if part_size:
            self._write_parts(path, headers, part_size, entry.length, body)
        else:
            _read_out(self._http.request("PUT", path, headers, body, entry.length))

    def _write_parts(
        self, path: str, headers: Mapping[str, str], part_size: int, length: int, body: bytes | BinaryIO
    ) -> None:
        started = _read_out(self._http.request("POST", f"{path}?uploads", headers))
        upload = ElementTree.fromstring(started).findtext(f"{_NAMESPACE}UploadId") or ""  # noqa: S314 - from LocalStack
        where = f"{path}?{urlencode({'uploadId': upload})}"
        parts = []
        for number, begin in enumerate(range(0, length, part_size), start=1):
            size = min(part_size, length - begin)
            part = body[begin : begin + size] if isinstance(body, bytes) else body
            answer = self._http.request("PUT", f"{where}&partNumber={number}", None, part, size)
            _read_out(answer)
            etag = answer.headers["etag"]
            parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        document = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>"
        _read_out(self._http.request("POST", where, None, document.encode()))

    def _tagging(self, path: str) -> str:
        document = ElementTree.fromstring(_read_out(self._http.request("GET", f"{path}?tagging")))  # noqa: S314 - from LocalStack
        tags = document.iter(f"{_NAMESPACE}Tag")
        texts = ([tag.findtext(f"{_NAMESPACE}{name}") or "" for name in ("Key", "Value")] for tag in tags)
        return urlencode([(key, value) for key, value in texts])

    # Buckets

    def buckets(self) -> list[str]:
        """The names of all. Raises Failing."""
        return [bucket["Name"] for bucket in self._call("list_buckets")["Buckets"]]

    def etags(self, bucket: str) -> dict[str, str]:
        """The ETags of all its objects by key. Raises NotThere, Failing."""
        found: dict[str, str] = {}
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Bucket=bucket, **token)
            found |= {content["Key"]: content["ETag"] for content in page.get("Contents", ())}
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def bucket(self, bucket: str) -> Entry:
        """The bucket with its settings. Raises NotThere, Failing."""
        region = self._call("get_bucket_location", Bucket=bucket).get("LocationConstraint") or _NO_REGION
        settings: dict[str, Any] = {}
        for get, put, member, part in _SETTINGS:
            with suppress(NotThere, Refused):  # AWS answers 404 where nothing has been set
                answer = self._call(get, Bucket=bucket)
                answer.pop("ResponseMetadata", None)
                value = answer.get(part) if part else answer
                if value:
                    settings[put] = {member: value}
        return Entry(bucket, about={"region": region, "settings": settings})

    def make_bucket(self, entry: Entry) -> list[str]:
        """Make it again; returns what of its settings S3 did not take. Raises Failing, Refused."""
        region = entry.about.get("region", _NO_REGION)
        where = {} if region == _NO_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._call("create_bucket", Bucket=entry.bucket, **where)
        refused = []
        for operation, parameters in entry.about.get("settings", {}).items():
            try:
                self._call(operation, Bucket=entry.bucket, **parameters)
            except (Refused, NotThere) as error:
                refused.append(f"{operation.removeprefix('put_')}: {error}")
        return refused

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            if status == 404:
                raise NotThere(str(error)) from error
            raise (Failing if status in PASSING else Refused)(str(error)) from error
        except BotoCoreError as error:
            raise Failing(str(error)) from error
        return answer


def _path(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key, safe='/~', errors='surrogateescape')}"


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that make an object like the one that has these."""
    kept = {name: value for name, value in headers.items() if name in _KEPT or name.startswith("x-amz-meta-")}
    # That of an object of several parts is made of theirs, and cannot be said beforehand.
    if headers.get("x-amz-checksum-type") == "FULL_OBJECT" and "-" not in headers.get("etag", ""):
        kept |= {name: headers[name] for name in _CHECKSUMS if name in headers}
    return kept


def _read_out(answer: Answer) -> bytes:
    return b"".join(answer.body)
