"""All use of the SageMaker Python SDK (v2): train, deploy and `predictor.predict`, on an ordinary Session.

One module, so that v3 of the SDK, where `sagemaker.tensorflow.TensorFlow` is gone, can be added beside it.
"""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

from runner.settings import Settings

# Without this the SDK reports each call to a bucket of AWS's own (sagemaker.telemetry).
NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}
METRICS = ("train_inertia", "test_inertia", "iterations")
METRIC_DEFINITIONS = [{"Name": name, "Regex": rf"\[kmeans\] {name}=([-+0-9.eE]+);"} for name in METRICS]


def preload() -> None:
    """Begin to import the SDK, which takes seconds, beside other work."""
    threading.Thread(target=_sdk, daemon=True).start()


def _sdk() -> tuple[Any, Any]:
    """Import the SDK, without its chatter; returns `sagemaker` and `sagemaker.tensorflow`."""
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    # This one sets its own level back whenever it is used, and is used at import; a filter stays.
    logging.getLogger("sagemaker.config").addFilter(lambda record: record.levelno >= logging.WARNING)
    sdk, tensorflow = importlib.import_module("sagemaker"), importlib.import_module("sagemaker.tensorflow")
    # Our configuration is a constant, and the SDK validates it at each of 45 look-ups, 0.1 s each.
    sdk.utils.validate_sagemaker_config = lambda *_: None
    return sdk, tensorflow


@dataclass
class SageMakerLearner:
    """Trains and serves one model under the names it is given."""

    settings: Settings
    boto_session: Any  # boto3.Session
    _estimator: Any = None
    _predictor: Any = None

    def fit(self, job_name: str, channels: dict[str, str]) -> None:
        """Start the training job on S3 URIs by channel name; does not wait."""
        sagemaker, tensorflow = _sdk()
        settings = self.settings
        session = sagemaker.Session(
            boto_session=self.boto_session,
            # Without a name the SDK asks a hard-coded STS address for the account.
            default_bucket=settings.bucket_name,
            default_bucket_prefix=settings.bucket_prefix,
            sagemaker_config=NO_TELEMETRY,
        )
        self._estimator = tensorflow.TensorFlow(
            entry_point=settings.entry_point_script.name,
            source_dir=str(settings.entry_point_script.parent),
            framework_version=settings.framework_version,
            py_version=settings.py_version,
            role=settings.role,
            instance_type=settings.train_instance_type,
            instance_count=settings.train_instance_count,
            max_run=settings.max_runtime_seconds,
            hyperparameters=settings.hyperparameters,
            metric_definitions=METRIC_DEFINITIONS,
            # At INFO the container prints its whole environment, 130 lines, before the script's first.
            container_log_level=logging.WARNING,
            sagemaker_session=session,
            # The debugger's and profiler's rules would run as paid jobs of their own beside ours.
            debugger_hook_config=False,
            disable_profiler=True,
        )
        self._estimator.fit(channels, job_name=job_name, wait=False)

    def deploy(self, name: str) -> None:
        """Begin to make model, endpoint configuration and endpoint, all called `name`; does not wait."""
        # `deploy(wait=True)` sleeps 30 s before its first look: a waiter of boto3's is asked instead.
        self._predictor = self._estimator.deploy(
            initial_instance_count=self.settings.deploy_instance_count,
            instance_type=self.settings.deploy_instance_type,
            endpoint_name=name,
            model_name=name,
            wait=False,
        )

    def predict(self, data: Any) -> Any:
        """`predictor.predict`: JSON in, the parsed JSON out. Raises botocore's ClientError."""
        return self._predictor.predict(data)
