"""The AWS SDK for JavaScript, in Node.js."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from client_programs import HERE, ROLE, WORDS_IMAGE, User


def test_the_aws_sdk_for_javascript(user: User, node_modules: Path) -> None:
    """Objects, training, an endpoint with its waiters, a stream, pages, tags, classes of errors, removal."""
    shutil.copy(HERE / "javascript/program.mjs", user.folder)
    (user.folder / "node_modules").symlink_to(node_modules)
    bucket = f"javascript-{uuid.uuid4().hex[:8]}"
    result = user.result(["node", user.folder / "program.mjs", bucket, WORDS_IMAGE, ROLE])
    assert result["stored"] == {"text": "größer", "missing": "NoSuchKey"}
    assert result["trained"] == {
        "state": "SUCCESS",
        "taken": ["ResourceInUse", True],
        "model": {"S3ModelArtifacts": f"s3://{bucket}/jobs/{bucket}-job/output/model.tar.gz"},
    }
    assert result["deployed"]["state"] == "SUCCESS"
    invoked = result["invoked"]
    assert invoked["body"] == {
        "words": ["größer"],
        "body": "größer",
        "content_type": "text/plain",
        "accept": "application/json",
        "attributes": "a=b",
        "greeting": "hello",
    }
    assert (invoked["type"], invoked["variant"], invoked["attributes"]) == ("application/json", "a", "served=yes")
    assert invoked["refused"] == {
        "error": "ModelError",
        "OriginalStatusCode": 400,
        "OriginalMessage": '{"error": "refused"}',
        "status": 424,
    }
    assert invoked["streamed"] == "piece"
    assert "serving" in result["logged"]
    assert [len(page) for page in result["listed"]["pages"]] == [2, 2, 2]
    names = [*(f"{bucket}-{number}" for number in range(5)), f"{bucket}-endpoint"]
    assert sorted(name for page in result["listed"]["pages"] for name in page) == names
    assert result["listed"]["tags"] == [{"Key": "team", "Value": "words"}]
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{bucket}-endpoint"
    assert result["removed"] == {
        "state": "SUCCESS",
        "name": "ValidationException",
        "message": f'Could not find endpoint "{arn}".',
        "status": 400,
    }
