"""The container's environment variables, read once into a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_server.batching import Parameters
from model_server.errors import StartError

# Variables of AWS's container that steer nginx, gunicorn or tensorflow_model_server. One process answers here, so
# setting them changes nothing; they are named in the log.
_FOREIGN_PREFIXES = ("SAGEMAKER_TFS_", "SAGEMAKER_GUNICORN_", "SAGEMAKER_NGINX_", "SAGEMAKER_MULTI_MODEL_")
_OWN_NAMES = (
    "SAGEMAKER_TFS_INTER_OP_PARALLELISM",
    "SAGEMAKER_TFS_INTRA_OP_PARALLELISM",
    "SAGEMAKER_TFS_ENABLE_BATCHING",
    "SAGEMAKER_TFS_WAIT_TIME_SECONDS",
)
_BATCHING_NAMES = (
    "SAGEMAKER_TFS_MAX_BATCH_SIZE",
    "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS",
    "SAGEMAKER_TFS_NUM_BATCH_THREADS",
    "SAGEMAKER_TFS_MAX_ENQUEUED_BATCHES",
)
_MODEL_BYTES = "MODEL_SERVER_MODEL_BYTES"  # in multi-model mode only
_DEFAULT_MODEL = "SAGEMAKER_TFS_DEFAULT_MODEL_NAME"  # everywhere else
_UNIVERSAL_NAMES = ("SAGEMAKER_MULTI_MODEL_UNIVERSAL_BUCKET", "SAGEMAKER_MULTI_MODEL_UNIVERSAL_PREFIX")


@dataclass(frozen=True)
class Settings:
    """What a server is started with."""

    model_dir: Path
    host: str  # 127.0.0.1; a container sets MODEL_SERVER_HOST=0.0.0.0
    port: int
    default_model_name: str | None  # None: the first model's name
    inter_op_threads: int  # 0: TensorFlow chooses
    intra_op_threads: int
    multi_model: bool  # serves what POST /models names, instead of what is in model_dir
    batching: Parameters | None  # None: each request is a run of the model
    model_bytes: int  # in that mode: what the models' files may take together; 0: as much as there is memory
    npy: bool  # application/x-npy as an extension
    code_dir: Path  # may hold inference.py; in multi-model mode that of all models that bring none
    universal_code: tuple[str, str] | None  # bucket and prefix to fetch code_dir from, unless it is there
    grpc_ports: range  # what handlers reach by gRPC listens on one of them; 0: any that is free
    wait_seconds: int | None  # how long models and handlers may take to load; None: as long as it takes
    without_meaning: tuple[str, ...]  # variables that are set and change nothing here


def from_environment(environment: Mapping[str, str], cpus: int) -> Settings:
    """Read the settings; `cpus` sets the default number of batching's threads.

    Raises StartError for a value that cannot be used.
    """
    multi_model = _switch(environment, "SAGEMAKER_MULTI_MODEL")
    batching = _batching(environment, cpus)
    base = Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    bucket, prefix = (environment.get(name) for name in _UNIVERSAL_NAMES)
    universal_code = (bucket, prefix) if bucket and prefix else None  # one alone is nothing, as in AWS's container
    working = {*_OWN_NAMES, *(_BATCHING_NAMES if batching else ()), *(_UNIVERSAL_NAMES if universal_code else ())}
    working.add(_MODEL_BYTES if multi_model else _DEFAULT_MODEL)
    return Settings(
        model_dir=base / "model",
        host=environment.get("MODEL_SERVER_HOST") or "127.0.0.1",
        port=_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080, range(65536)),
        default_model_name=environment.get(_DEFAULT_MODEL) or None,
        inter_op_threads=_number(environment, "SAGEMAKER_TFS_INTER_OP_PARALLELISM", 0, range(1025)),
        intra_op_threads=_number(environment, "SAGEMAKER_TFS_INTRA_OP_PARALLELISM", 0, range(1025)),
        multi_model=multi_model,
        batching=batching,
        model_bytes=_number(environment, _MODEL_BYTES, 0, range(2**63)),
        npy=_switch(environment, "MODEL_SERVER_NPY"),
        code_dir=base / "code" if multi_model else base / "model" / "code",
        universal_code=universal_code,
        grpc_ports=_ports(environment.get("SAGEMAKER_SAFE_PORT_RANGE") or "0-0"),
        wait_seconds=_number(environment, "SAGEMAKER_TFS_WAIT_TIME_SECONDS", 0, range(86401)) or None,
        without_meaning=tuple(sorted(name for name in environment if name not in working and _is_known(name))),
    )


def _is_known(name: str) -> bool:
    return name.startswith(_FOREIGN_PREFIXES) or name == _MODEL_BYTES


def _ports(text: str) -> range:
    first, _, last = text.strip().partition("-")
    numbers = [int(part) if part.isascii() and part.isdigit() and len(part) < 6 else -1 for part in (first, last)]
    if not 0 <= numbers[0] <= numbers[1] < 65536:
        raise StartError(f"SAGEMAKER_SAFE_PORT_RANGE={text!r} must be two ports, the lower one first, as in 9000-9999")
    return range(numbers[0], numbers[1] + 1)


def _batching(environment: Mapping[str, str], cpus: int) -> Parameters | None:
    """The defaults are those of AWS's container (tfs_utils.create_batching_config, read 2026-11-23)."""
    if not _switch(environment, "SAGEMAKER_TFS_ENABLE_BATCHING"):
        return None
    # SageMaker sets SAGEMAKER_BATCH in a transform job, which limits the number of requests itself.
    enqueued = 100_000_000 if "SAGEMAKER_BATCH" in environment else cpus
    size, timeout, threads, batches = _BATCHING_NAMES
    return Parameters(
        max_batch_size=_number(environment, size, 8, range(1, 2**31)),
        batch_timeout_micros=_number(environment, timeout, 1000, range(2**31)),
        num_batch_threads=_number(environment, threads, cpus, range(1, 1025)),
        max_enqueued_batches=_number(environment, batches, enqueued, range(1, 2**31)),
    )


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "false").lower()
    if text not in ("true", "false"):
        raise StartError(f"{name} must be 'true' or 'false', not {text!r}")
    return text == "true"


def _number(environment: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) in allowed):
        raise StartError(f"{name}={text!r} must be a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(text)
