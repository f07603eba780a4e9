"""What AWS's TensorFlow training image adds to the toolkit (sagemaker-tensorflow-training 20.4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from training_launcher import source
from training_launcher.environment import FRAMEWORK_MODULE, TrainingEnvironment

logger = logging.getLogger("sagemaker_tensorflow_container.training")

MIRRORED = "sagemaker_multi_worker_mirrored_strategy_enabled"
MIRRORED_PORT = 8890
# JSON, {"algo-1": "127.0.0.1:40001", …}: set by an engine that cannot make the names of the hosts resolve.
ADDRESSES_VARIABLE = "SAGEMAKER_REHEARSAL_HOSTS"
NOT_IMPLEMENTED = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
)


def prepare(environment: TrainingEnvironment) -> dict[str, str]:
    """Return the variables that the image adds to the script's.

    In a tuning job also appends the job's name to the hyperparameter `model_dir`, as the image does.
    Raises NotImplementedError for the distributions that this launcher does not have.
    """
    for name in NOT_IMPLEMENTED:
        if environment.hyperparameters.framework.get(name):
            raise NotImplementedError(f"{name}: this launcher runs one process a host; use the docker engine")
    user = environment.hyperparameters.user
    if "_tuning_objective_metric" in environment.hyperparameters.platform:
        model_dir = str(user.get("model_dir"))
        if not model_dir.startswith(("/opt/ml", str(environment.base))):
            model_dir = f"{model_dir}/{environment.variables.get('TRAINING_JOB_NAME')}/model"
        logger.info("Appending the training job name to model_dir: %s", model_dir)
        user["model_dir"] = model_dir
    added = {
        "S3_REGION": _s3_region(environment),
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "S3_USE_HTTPS": "1",
        # The image's own variable, and what TensorFlow leaves behind when the image's `train` imports it.
        "SAGEMAKER_TRAINING_MODULE": environment.variables.get("SAGEMAKER_TRAINING_MODULE", FRAMEWORK_MODULE),
        "TF2_BEHAVIOR": "1",
        "TPU_ML_PLATFORM": "Tensorflow",
    }
    addresses = json.loads(environment.variables.get(ADDRESSES_VARIABLE, "{}"))
    if environment.hyperparameters.framework.get(MIRRORED):
        workers = environment.distribution_hosts
        ports = {host: f"{host}:{MIRRORED_PORT}" for host in workers}
        added["TF_CONFIG"] = _tf_config(workers, {**ports, **addresses}, environment)
    elif addresses:
        # The image leaves this to the script, which knows the hosts' names. Where those lead nowhere it is told here.
        added["TF_CONFIG"] = _tf_config(environment.hosts, addresses, environment)
    return added


def _tf_config(workers: list[str], addresses: Mapping[str, str], environment: TrainingEnvironment) -> str:
    """Write TF_CONFIG as the image does."""
    config = {
        "cluster": {"worker": [addresses[host] for host in workers]},
        "environment": "cloud",
        "task": {"index": workers.index(environment.resources["current_host"]), "type": "worker"},
    }
    return json.dumps(config)


def _s3_region(environment: TrainingEnvironment) -> str:
    """The region of the bucket of `model_dir`, which may be another than the job's."""
    model_dir = environment.hyperparameters.user.get("model_dir")
    if not (isinstance(model_dir, str) and model_dir.startswith("s3://")):
        return environment.region
    client = source.s3_client(environment.variables, environment.region)
    location = client.get_bucket_location(Bucket=urlsplit(model_dir).netloc)["LocationConstraint"]
    return str(location or environment.region)


def warn_about_model(model: Path) -> None:
    """Warn of a model that SageMaker would not keep, or that its serving container would not serve."""
    saved = [path for pattern in ("saved_model.pb", "saved_model.pbtxt") for path in model.rglob(pattern)]
    for path in saved:
        if not path.parent.name.isdigit():
            logger.warning(
                "Your model will NOT be servable with SageMaker TensorFlow Serving containers. "
                'The SavedModel bundle is under directory "%s", not a numeric name.',
                path.parent.name,
            )
    if not any(path.is_file() for path in model.rglob("*")):
        logger.warning(
            "No model artifact is saved under path %s. Your training job will not save any model files to S3.", model
        )
    elif not saved:
        logger.warning(
            "Your model will NOT be servable with SageMaker TensorFlow Serving container. "
            "The model artifact was not saved in the TensorFlow SavedModel directory structure."
        )
