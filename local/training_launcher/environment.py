"""The training environment: what SageMaker's toolkit (4.9.0) derives from `/opt/ml/input/config`, SM_* included."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_launcher import hyperparameters
from training_launcher.hyperparameters import Hyperparameters

logger = logging.getLogger("sagemaker-training-toolkit")

DEFAULT_INSTANCE_GROUP = "homogeneousCluster"
# What AWS's TensorFlow image has in SAGEMAKER_TRAINING_MODULE.
FRAMEWORK_MODULE = "sagemaker_tensorflow_container.training:main"
# Any of these makes the current instance group one that a distribution runs on.
DISTRIBUTIONS = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
    "sagemaker_torch_distributed_enabled",
)


@dataclass(frozen=True)
class Hardware:
    """What this machine offers a job."""

    num_cpus: int
    num_gpus: int
    num_neurons: int


@dataclass(frozen=True)
class TrainingEnvironment:
    """One training job on one host, as its files below the base folder describe it."""

    base: Path
    """`/opt/ml`, or what SAGEMAKER_BASE_DIR names."""
    hyperparameters: Hyperparameters
    resources: dict[str, Any]
    """resourceconfig.json."""
    channels: dict[str, Any]
    """inputdataconfig.json, by channel."""
    hardware: Hardware
    variables: Mapping[str, str]
    """The variables the launcher was started with."""

    @property
    def code(self) -> Path:
        """Where the user's code is unpacked, and the script's working directory."""
        return self.base / "code"

    @property
    def output(self) -> Path:
        """Where the files `success` and `failure` go."""
        return self.base / "output"

    @property
    def model(self) -> Path:
        """Where the script leaves its model."""
        return self.base / "model"

    @property
    def program(self) -> str:
        """The script's name. Raises ValueError when the job names none."""
        program = self.variables.get("SAGEMAKER_PROGRAM") or self.hyperparameters.platform.get("sagemaker_program")
        if not program:
            raise ValueError("The hyperparameter sagemaker_program is missing: it names the script to run")
        return str(program)

    @property
    def submit_directory(self) -> str:
        """Where the code comes from: an s3:// URI of a tarball, or a local path."""
        return str(self.hyperparameters.platform.get("sagemaker_submit_directory", self.code))

    @property
    def log_level(self) -> int:
        """The toolkit's own log level."""
        return int(self.hyperparameters.platform.get("sagemaker_container_log_level", logging.INFO))

    @property
    def region(self) -> str:
        """The job's region, or an empty string."""
        region = self.hyperparameters.platform.get("sagemaker_region")
        return str(region or self.variables.get("AWS_DEFAULT_REGION", ""))

    @property
    def hosts(self) -> list[str]:
        """All hosts of the job."""
        return list(self.resources["hosts"])

    @property
    def distribution_groups(self) -> list[str]:
        """The instance groups that a distribution of the framework runs on."""
        framework = self.hyperparameters.framework
        if "sagemaker_distribution_instance_groups" in framework:
            return list(framework["sagemaker_distribution_instance_groups"])
        return [self._current_group] if any(framework.get(name) for name in DISTRIBUTIONS) else []

    @property
    def distribution_hosts(self) -> list[str]:
        """The hosts of those groups."""
        groups = self.resources.get("instance_groups", [])
        if not groups:
            return self.hosts
        return [
            host
            for group in groups
            if group["instance_group_name"] in self.distribution_groups
            for host in group["hosts"]
        ]

    @property
    def _current_group(self) -> str:
        return str(self.resources.get("current_group_name", DEFAULT_INSTANCE_GROUP))

    def as_mapping(self) -> dict[str, Any]:
        """Everything under the toolkit's own names: the content of SM_TRAINING_ENV."""
        groups = {group["instance_group_name"]: group for group in self.resources.get("instance_groups", [])}
        master = (self.distribution_hosts or self.hosts)[0]
        modelparallel = self.variables.get("SM_HP_MP_PARAMETERS")
        return {
            "additional_framework_parameters": self.hyperparameters.framework,
            "channel_input_dirs": {name: str(self.base / "input" / "data" / name) for name in self.channels},
            "current_host": self.resources["current_host"],
            "current_instance_group": self._current_group,
            "current_instance_group_hosts": groups.get(self._current_group, {}).get("hosts", []),
            "current_instance_type": self.resources.get("current_instance_type", "local"),
            "distribution_hosts": self.distribution_hosts,
            "distribution_instance_groups": self.distribution_groups,
            "framework_module": self.variables.get("SAGEMAKER_TRAINING_MODULE", FRAMEWORK_MODULE),
            "hosts": self.hosts,
            "hyperparameters": self.hyperparameters.user,
            "input_config_dir": str(self.base / "input" / "config"),
            "input_data_config": self.channels,
            "input_dir": str(self.base / "input"),
            "instance_groups": list(groups),
            "instance_groups_dict": groups,
            "is_hetero": len(groups) > 1,
            "is_master": self.resources["current_host"] == master,
            "is_modelparallel_enabled": modelparallel and modelparallel != "{}",
            "is_smddpmprun_installed": False,
            "is_smddprun_installed": False,
            "job_name": self.variables.get("TRAINING_JOB_NAME"),
            "log_level": self.log_level,
            "master_hostname": master,
            "model_dir": str(self.model),
            "module_dir": self.submit_directory,
            "module_name": self.program.removesuffix(".py"),
            "network_interface_name": self.resources.get("network_interface_name", "eth0"),
            "num_cpus": self.hardware.num_cpus,
            "num_gpus": self.hardware.num_gpus,
            "num_neurons": self.hardware.num_neurons,
            "output_data_dir": str(self.output / "data"),
            "output_dir": str(self.output),
            "output_intermediate_dir": str(self.output / "intermediate"),
            "resource_config": self.resources,
            "user_entry_point": self.program,
        }

    def sm_variables(self) -> dict[str, str]:
        """The SM_* variables of the script."""
        # These are in SM_TRAINING_ENV only, or have a shorter name of their own.
        only_there = {
            "additional_framework_parameters",
            "channel_input_dirs",
            "distribution_hosts",
            "hyperparameters",
            "is_master",
            "is_modelparallel_enabled",
            "is_smddpmprun_installed",
            "is_smddprun_installed",
            "job_name",
            "master_hostname",
        }
        everything = self.as_mapping()
        values = {name: value for name, value in everything.items() if name not in only_there}
        values |= {
            "hps": self.hyperparameters.user,
            "framework_params": self.hyperparameters.framework,
            "channels": sorted(self.channels),
            "training_env": everything,
            "user_args": hyperparameters.to_arguments(self.hyperparameters.user),
        }
        values |= {f"channel_{name}": path for name, path in everything["channel_input_dirs"].items()}
        values |= {f"hp_{name}": value for name, value in self.hyperparameters.user.items()}
        return {f"SM_{name.upper()}": hyperparameters.to_environment_value(value) for name, value in values.items()}


def read(base: Path, variables: Mapping[str, str]) -> TrainingEnvironment:
    """Read the job from the files in `<base>/input/config`. Raises OSError or ValueError when one is not readable."""
    config = base / "input" / "config"
    return TrainingEnvironment(
        base=base,
        hyperparameters=hyperparameters.parse(_json(config / "hyperparameters.json")),
        resources=_json(config / "resourceconfig.json"),
        channels=_json(config / "inputdataconfig.json"),
        hardware=detect_hardware(),
        variables=variables,
    )


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def detect_hardware() -> Hardware:
    """Count processors, and accelerators by their vendors' tools, as the toolkit does."""
    gpus = _output(["nvidia-smi", "--list-gpus"])
    if gpus is None:
        logger.info("No GPUs detected (normal if no gpus installed)")
    neurons = _output(["neuron-ls", "-j"])
    if neurons is None:
        logger.info("No Neurons detected (normal if no neurons installed)")
    return Hardware(
        num_cpus=os.cpu_count() or 1,
        num_gpus=sum(line.startswith("GPU ") for line in (gpus or "").splitlines()),
        num_neurons=sum(item.get("nc_count", 0) for item in json.loads(neurons or "[]")),
    )


def _output(command: list[str]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
