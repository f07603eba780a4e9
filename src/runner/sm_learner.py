"""The use of the SageMaker Python SDK (v2), but for its local mode: train, deploy and `predictor.predict`.

One module, so that v3 of the SDK, where `sagemaker.tensorflow.TensorFlow` is gone, can be added beside it.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.settings import Settings
from runner.signals import not_swallowed

# Without this the SDK reports each call to a bucket of AWS's own (sagemaker.telemetry).
NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}
METRICS = ("train_inertia", "test_inertia", "iterations")
METRIC_DEFINITIONS = [{"Name": name, "Regex": rf"\[kmeans\] {name}=([-+0-9.eE]+);"} for name in METRICS]


def preload() -> None:
    """Begin to import the SDK, which takes seconds, beside other work."""
    threading.Thread(target=sdk, args=("sagemaker.tensorflow",), daemon=True).start()


def sdk(module: str) -> Any:
    """Import a module of the SDK, without its chatter."""
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    # This one sets its own level back whenever it is used, and is used at import; a filter stays.
    logging.getLogger("sagemaker.config").addFilter(_warnings)
    quicken()
    return importlib.import_module(module)


def _warnings(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def quicken() -> None:
    """Our configuration is a constant, and the SDK validates it at each of 45 look-ups, 0.1 s each: do without."""
    importlib.import_module("sagemaker").utils.validate_sagemaker_config = lambda *_: None


@dataclass(frozen=True)
class Destination:
    """What the SDK is told of where to train and to serve."""

    session: Callable[[], Any]  # makes the SDK's Session, or hands out the one that there is
    train_instance_type: str
    deploy_instance_type: str
    training_image: str | None = None  # None: the SDK names AWS's own
    inference_image: str | None = None


def on_instances(settings: Settings, boto_session: Any) -> Destination:
    """SageMaker's instances, by an ordinary Session on a boto3.Session."""
    return Destination(
        session=lambda: sdk("sagemaker").Session(
            boto_session=boto_session,
            # Without a name the SDK asks a hard-coded STS address for the account.
            default_bucket=settings.bucket_name,
            default_bucket_prefix=settings.bucket_prefix,
            sagemaker_config=NO_TELEMETRY,
        ),
        train_instance_type=settings.train_instance_type,
        deploy_instance_type=settings.deploy_instance_type,
    )


def image_uris(settings: Settings) -> tuple[str, str]:
    """The URIs of AWS's images, for training and for inference, that the SDK would name."""
    retrieve = sdk("sagemaker.image_uris").retrieve
    wanted = {"framework": "tensorflow", "region": settings.region, "version": settings.framework_version}
    return (
        retrieve(
            **wanted,
            py_version=settings.py_version,
            instance_type=settings.train_instance_type,
            image_scope="training",
        ),
        retrieve(**wanted, instance_type=settings.deploy_instance_type, image_scope="inference"),
    )


def dependencies(settings: Settings) -> list[str]:
    """The files to send beside the script's folder: requirements that AWS's image lacks, and our own image has.

    SageMaker's toolkit installs a requirements.txt that lies beside the script, which takes it a while in every job.
    """
    wanted = settings.entry_point_script.parent / "lloyd-requirements" / "requirements.txt"
    needed = settings.algorithm == "lloyd" or settings.num_clusters == "auto"
    return [str(wanted)] if needed and not settings.emulator and wanted.exists() else []


@dataclass
class SageMakerLearner:
    """Trains and serves one model under the names it is given."""

    settings: Settings
    destination: Destination
    _estimator: Any = None
    _predictor: Any = None

    def fit(self, job_name: str, channels: dict[str, str]) -> None:
        """Start the training job on S3 URIs by channel name; does not wait."""
        settings, destination = self.settings, self.destination
        self._estimator = sdk("sagemaker.tensorflow").TensorFlow(
            entry_point=settings.entry_point_script.name,
            source_dir=str(settings.entry_point_script.parent),
            dependencies=dependencies(settings),
            framework_version=settings.framework_version,
            py_version=settings.py_version,
            role=settings.role,
            image_uri=destination.training_image,
            instance_type=destination.train_instance_type,
            instance_count=settings.train_instance_count,
            max_run=settings.max_runtime_seconds,
            hyperparameters=settings.hyperparameters,
            metric_definitions=METRIC_DEFINITIONS,
            # At INFO the container prints its whole environment, 130 lines, before the script's first.
            container_log_level=logging.WARNING,
            sagemaker_session=destination.session(),
            # The debugger's and profiler's rules would run as paid jobs of their own beside ours.
            debugger_hook_config=False,
            disable_profiler=True,
        )
        with not_swallowed():  # the SDK's telemetry swallows it, even when it is switched off
            self._estimator.fit(channels, job_name=job_name, wait=False)

    def deploy(self, name: str) -> None:
        """Begin to make model, endpoint configuration and endpoint, all called `name`; does not wait."""
        # `deploy(wait=True)` sleeps 30 s before its first look: a waiter of boto3's is asked instead.
        with not_swallowed():
            self._predictor = self._estimator.deploy(
                initial_instance_count=self.settings.deploy_instance_count,
                instance_type=self.destination.deploy_instance_type,
                image_uri=self.destination.inference_image,
                endpoint_name=name,
                model_name=name,
                wait=False,
            )

    def predict(self, data: Any) -> Any:
        """`predictor.predict`: JSON in, the parsed JSON out. Raises botocore's ClientError."""
        with not_swallowed():
            return self._predictor.predict(data)
