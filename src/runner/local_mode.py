"""The SDK's own local mode: its session, and its stand-ins for SageMaker's clients, made to answer as those do.

`sagemaker.local` trains and serves in this process, through Docker Compose: creating a job or an endpoint returns when
it is done, no call can stop either, what was deleted can still be described, and an endpoint's error is an answer.
"""

from __future__ import annotations

import importlib
import io
import logging
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from runner.compose import COMPOSE_FILE
from runner.errors import RunnerError
from runner.settings import Settings
from runner.sm_learner import NO_TELEMETRY, Destination, sdk

BAD = 400
MODEL_ERROR = 424  # the status that SageMaker Runtime gives an error of the container


@dataclass(frozen=True)
class Containers:
    """Where the SDK's local mode runs containers, and of what."""

    training_image: str
    inference_image: str
    root: Path  # the SDK's folders go below it
    port: int  # of this machine, where the endpoint answers
    end: Callable[[], None]  # takes down all that runs


def destination(settings: Settings, boto_session: Any, containers: Containers) -> Destination:
    """The SDK's LocalSession, with clients that answer as SageMaker's do."""
    local = sdk("sagemaker.local")
    give_projects_their_own_networks()
    # At each invocation the one says that Docker is not rootless; the other, that an endpoint is not up yet.
    for name in ("sagemaker.local.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    session = local.LocalSession(
        boto_session=boto_session,
        default_bucket=settings.bucket_name,
        default_bucket_prefix=settings.bucket_prefix,
        sagemaker_config=NO_TELEMETRY,
    )
    # Instead of the user's ~/.sagemaker/config.yaml: two runs at once need two ports.
    session.config = {"local": {"container_root": str(containers.root), "serving_port": containers.port}}
    session.sagemaker_client = LocalSageMaker(session.sagemaker_client, session.s3_client, containers.end)
    session.sagemaker_runtime_client = LocalRuntime(session.sagemaker_runtime_client)
    return Destination(
        session=lambda: session,
        train_instance_type="local",
        deploy_instance_type="local",
        training_image=containers.training_image,
        inference_image=containers.inference_image,
    )


def give_projects_their_own_networks() -> None:
    """Have Compose make a network for each project, and remove it with the project. Idempotent.

    The SDK's projects share one by its name. Two that begin at once make two of that name, after which none can start.
    """
    container = sdk("sagemaker.local.image")._SageMakerContainer
    yaml = importlib.import_module("yaml")
    generate = getattr(container._generate_compose_file, "__wrapped__", container._generate_compose_file)

    @wraps(generate)
    def generate_with_own_network(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        content: dict[str, Any] = generate(self, *arguments, **named)
        # Without a `name` Compose calls it after the project: https://docs.docker.com/reference/compose-file/networks/
        content["networks"] = dict.fromkeys(content.get("networks", ()))
        file = Path(self.container_root) / COMPOSE_FILE
        file.write_text(yaml.safe_dump(content, default_flow_style=False), encoding="utf-8")
        return content

    container._generate_compose_file = generate_with_own_network


@dataclass
class LocalSageMaker:
    """A `sagemaker` client: what the SDK and the workflow call, on top of the SDK's LocalSagemakerClient."""

    local: Any
    s3: Any
    end: Callable[[], None]
    _failed: set[str] = field(default_factory=set)
    _deleted: set[str] = field(default_factory=set)

    def create_training_job(self, TrainingJobName: str, **request: Any) -> None:  # noqa: N803
        """Run the job to its end; its lines go to stdout. Raises RunnerError with the script's reason when it fails."""
        try:
            self.local.create_training_job(TrainingJobName=TrainingJobName, **request)
        except RuntimeError as error:
            output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{TrainingJobName}/output/output.tar.gz"
            raise RunnerError(
                f"training job {TrainingJobName}: Failed: {_failure(self.s3, output) or error}"
            ) from error

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        """What the SDK knows of a job that ended well, and how long it took."""
        job: dict[str, Any] = self.local.describe_training_job(TrainingJobName)
        seconds = (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
        return {**job, "TrainingTimeInSeconds": round(seconds)}

    def stop_training_job(self, TrainingJobName: str) -> None:  # noqa: N803
        """Take its containers down: the SDK lets them run when its own call was interrupted."""
        self.end()

    def create_endpoint(self, EndpointName: str, **request: Any) -> None:  # noqa: N803
        """Start it and wait until it answers. Raises RunnerError when it does not."""
        self._failed.add(EndpointName)  # unless it comes up: the SDK would call it Creating for ever
        try:
            self.local.create_endpoint(EndpointName=EndpointName, **request)
        except RuntimeError as error:
            raise RunnerError(f"endpoint {EndpointName}: not in service: {error}") from error
        self._failed.discard(EndpointName)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        """What the SDK knows of it; one that did not come up has failed. Raises ClientError when it is deleted."""
        self._raise_if_deleted(EndpointName)
        endpoint: dict[str, Any] = self.local.describe_endpoint(EndpointName)
        return {**endpoint, "EndpointStatus": "Failed"} if EndpointName in self._failed else endpoint

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        """Stop its container."""
        with _quiet_threads():
            self.end()  # first: the SDK leaves the container there, and removes the file that says what it is
            # What is left for the SDK to end is its own thread, of which there may be none yet.
            with suppress(Exception):
                self.local.delete_endpoint(EndpointName)
        self._deleted.add(EndpointName)

    def get_waiter(self, name: str) -> Any:
        """A waiter that has nothing to wait for: `create_endpoint` has returned. It is the only one."""
        if name != "endpoint_in_service":
            raise ValueError(f"The SDK's local mode has no waiter {name!r}")
        return _InService()

    def __getattr__(self, name: str) -> Any:
        """Models and endpoint configurations are records; the SDK keeps them as SageMaker does."""
        return getattr(self.local, name)

    def _raise_if_deleted(self, name: str) -> None:
        if name in self._deleted:
            error = {"Code": "ValidationException", "Message": f'Could not find endpoint "{name}".'}
            raise ClientError({"Error": error}, "DescribeEndpoint")


class _InService:
    """The waiter for an endpoint that is in service, or was never made."""

    def wait(self, **_request: Any) -> None:
        """Return at once."""


@dataclass(frozen=True)
class LocalRuntime:
    """A `sagemaker-runtime` client on top of the SDK's LocalSagemakerRuntimeClient."""

    local: Any

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """The endpoint's answer; `Body` is to be read. Raises ClientError, a ModelError, for a container's error."""
        answer: dict[str, Any] = self.local.invoke_endpoint(**request)
        body = answer["Body"]
        if body.status < BAD:
            return answer
        message = body.read().decode("utf-8", "replace")
        raise ClientError(
            {
                "Error": {"Code": "ModelError", "Message": f"Received {body.status} from primary: {message}"},
                "ResponseMetadata": {"HTTPStatusCode": MODEL_ERROR},
                "OriginalStatusCode": body.status,
                "OriginalMessage": message,
            },
            "InvokeEndpoint",
        )


def _failure(s3: Any, uri: str) -> str:
    """What the container wrote to /opt/ml/output/failure; the SDK packs it with the job's output. Empty without."""
    place, archive = urlsplit(uri), io.BytesIO()
    with suppress(ClientError, BotoCoreError, Boto3Error, tarfile.TarError, OSError, KeyError):
        s3.download_fileobj(place.netloc, place.path.lstrip("/"), archive)
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            file = tar.extractfile("failure")
            return file.read().decode("utf-8", "replace").strip() if file else ""
    return ""


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """While an endpoint is stopped, the SDK's thread that reads its output dies of an error that tells nothing."""
    before = threading.excepthook
    threading.excepthook = lambda _arguments: None
    try:
        yield
    finally:
        threading.excepthook = before
