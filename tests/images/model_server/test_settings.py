from pathlib import Path

import pytest

from model_server.batching import Parameters
from model_server.errors import StartError
from model_server.settings import from_environment


def test_defaults() -> None:
    """Loopback, port 8080 and /opt/ml."""
    settings = from_environment({}, 2)
    assert (settings.model_dir, settings.host, settings.port) == (Path("/opt/ml/model"), "127.0.0.1", 8080)
    assert settings.default_model_name is None
    assert (settings.multi_model, settings.model_bytes, settings.batching) == (False, 0, None)
    assert settings.npy is False
    assert (settings.code_dir, settings.universal_code) == (Path("/opt/ml/model/code"), None)
    assert settings.wait_seconds is None
    assert settings.grpc_ports == range(1)
    assert settings.without_meaning == ()


def test_the_environment_is_used() -> None:
    """Every variable with a meaning arrives."""
    settings = from_environment(
        {
            "SAGEMAKER_BASE_DIR": "/somewhere",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "MODEL_SERVER_HOST": "0.0.0.0",
            "SAGEMAKER_TFS_INTER_OP_PARALLELISM": "1",
            "SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "2",
            "SAGEMAKER_MULTI_MODEL": "True",
            "MODEL_SERVER_MODEL_BYTES": "1000",
            "MODEL_SERVER_NPY": "true",
            "SAGEMAKER_MULTI_MODEL_UNIVERSAL_BUCKET": "b",
            "SAGEMAKER_MULTI_MODEL_UNIVERSAL_PREFIX": "p/",
            "SAGEMAKER_TFS_WAIT_TIME_SECONDS": "60",
            "SAGEMAKER_SAFE_PORT_RANGE": "9000-9099",
        },
        2,
    )
    assert settings.model_dir == Path("/somewhere/model")
    assert (settings.host, settings.port) == ("0.0.0.0", 9000)
    assert (settings.inter_op_threads, settings.intra_op_threads) == (1, 2)
    assert (settings.multi_model, settings.model_bytes, settings.npy) == (True, 1000, True)
    assert (settings.code_dir, settings.universal_code) == (Path("/somewhere/code"), ("b", "p/"))
    assert settings.wait_seconds == 60
    assert settings.grpc_ports == range(9000, 9100)
    assert settings.without_meaning == ()


def test_variables_without_meaning_are_collected() -> None:
    """What steers nginx, gunicorn or tensorflow_model_server is named, what is not the container's is not."""
    settings = from_environment(
        {
            "SAGEMAKER_TFS_ENABLE_BATCHING": "false",
            "SAGEMAKER_TFS_MAX_BATCH_SIZE": "16",  # without the one before
            "SAGEMAKER_GUNICORN_WORKERS": "2",
            "SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS": "60",
            "SAGEMAKER_TFS_INSTANCE_COUNT": "2",
            "SAGEMAKER_MULTI_MODEL_UNIVERSAL_BUCKET": "without a prefix",
            "SAGEMAKER_PROGRAM": "x.py",
            "PATH": "/bin",
        },
        2,
    )
    assert settings.without_meaning == (
        "SAGEMAKER_GUNICORN_WORKERS",
        "SAGEMAKER_MULTI_MODEL_UNIVERSAL_BUCKET",
        "SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS",
        "SAGEMAKER_TFS_INSTANCE_COUNT",
        "SAGEMAKER_TFS_MAX_BATCH_SIZE",
    )
    assert settings.universal_code is None


def test_some_variables_are_for_one_mode_only() -> None:
    """There is no default among models that come and go, and a limit only there."""
    both = {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half", "MODEL_SERVER_MODEL_BYTES": "1000"}
    single = from_environment(both, 2)
    assert single.default_model_name == "half"
    assert single.without_meaning == ("MODEL_SERVER_MODEL_BYTES",)
    several = from_environment({**both, "SAGEMAKER_MULTI_MODEL": "true"}, 2)
    assert several.model_bytes == 1000
    assert several.without_meaning == ("SAGEMAKER_TFS_DEFAULT_MODEL_NAME",)


def test_batching_has_the_containers_defaults() -> None:
    """8 rows, a millisecond, a thread and a waiting batch for each processor; a transform job may queue all it has."""
    assert from_environment({"SAGEMAKER_TFS_ENABLE_BATCHING": "True"}, 3).batching == Parameters(8, 1000, 3, 3)
    job = from_environment({"SAGEMAKER_TFS_ENABLE_BATCHING": "true", "SAGEMAKER_BATCH": "true"}, 3).batching
    assert job == Parameters(8, 1000, 3, 100_000_000)


def test_batching_is_as_told() -> None:
    """All four parameters arrive."""
    settings = from_environment(
        {
            "SAGEMAKER_TFS_ENABLE_BATCHING": "true",
            "SAGEMAKER_TFS_MAX_BATCH_SIZE": "16",
            "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS": "500",
            "SAGEMAKER_TFS_NUM_BATCH_THREADS": "100",
            "SAGEMAKER_TFS_MAX_ENQUEUED_BATCHES": "1",
        },
        2,
    )
    assert settings.batching == Parameters(16, 500, 100, 1)
    assert settings.without_meaning == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_BIND_TO_PORT", "-1"),
        ("SAGEMAKER_BIND_TO_PORT", "²"),
        ("SAGEMAKER_TFS_INTRA_OP_PARALLELISM", "many"),
        ("SAGEMAKER_MULTI_MODEL", "yes"),
        ("SAGEMAKER_TFS_ENABLE_BATCHING", "1"),
        ("MODEL_SERVER_NPY", "on"),
        ("SAGEMAKER_TFS_WAIT_TIME_SECONDS", "1.5"),
        ("MODEL_SERVER_MODEL_BYTES", "1k"),
    ],
)
def test_values_that_cannot_be_used_are_named(name: str, value: str) -> None:
    """The message names the variable, and the value where that is the problem."""
    with pytest.raises(StartError, match=f"^{name}"):
        from_environment({name: value}, 2)
