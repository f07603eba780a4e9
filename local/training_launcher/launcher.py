"""Runs one training job from the files below its base folder, as `train` of AWS's TensorFlow image does."""

from __future__ import annotations

import json
import logging
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from training_launcher import environment, hyperparameters, process, source, tensorflow
from training_launcher.environment import TrainingEnvironment
from training_launcher.errors import CommandError, Stopped

logger = logging.getLogger("sagemaker-training-toolkit")

LOG_FORMAT = "%(asctime)s %(name)-12s %(levelname)-8s %(message)s"
BASE_VARIABLE = "SAGEMAKER_BASE_DIR"
DEFAULT_BASE = "/opt/ml"
_PROGRAM = re.compile(r"[\w@%+=:,.][\w@%+=:,./-]*")  # what needs no quotes; no option, no path from the root


def launch(variables: Mapping[str, str], python_path: Sequence[str]) -> int:
    """Run the job that `variables` (SAGEMAKER_BASE_DIR) point to; return the exit status.

    0 and a file `success`, or a file `failure` and the toolkit's status: 1 for an error of the script, whatever its
    own status was (that one is in the file); the errno, else 1, for an error on the way to the script. A job stopped
    by SIGTERM has its script's status (143 unless the script handles the signal), and no failure file.

    `python_path` is the module path that the script inherits.
    """
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO)
    signal.signal(signal.SIGTERM, _stop)
    base = Path(variables.get(BASE_VARIABLE, DEFAULT_BASE)).absolute()
    try:
        _train(environment.read(base, variables), python_path)
    except Stopped as stopped:
        logger.info("Stopped by SIGTERM, exit status %s", stopped.exit_code)
        return stopped.exit_code
    except CommandError as error:
        return _fail(base, str(error), 1)
    except Exception as error:  # noqa: BLE001  # the toolkit's rule: everything else is a "Framework Error"
        text = f"Framework Error: \n{traceback.format_exc()}\n{error}"
        errno = getattr(error, "errno", None)
        return _fail(base, text, errno if isinstance(errno, int) and errno else 1)
    logger.info("Reporting training SUCCESS")
    (base / "output" / "success").touch()
    return 0


def _train(job: TrainingEnvironment, python_path: Sequence[str]) -> None:
    logging.getLogger().setLevel(job.log_level)
    logging.getLogger("botocore").setLevel(max(job.log_level, logging.INFO))
    if job.hyperparameters.platform.get("sagemaker_s3_output"):
        logger.warning("sagemaker_s3_output: intermediate output is not copied to S3 while the job runs")
    added = tensorflow.prepare(job)
    source.fetch(job.submit_directory, job.code, job.variables, job.region)
    script = _command(job)
    packages = job.base / "packages"
    installed = source.install_requirements(job.code, packages, job.variables)
    path = [str(job.code), *([str(packages)] if installed else []), *python_path]
    variables = {
        **job.variables,
        "CURRENT_HOST": str(job.resources["current_host"]),
        "SAGEMAKER_JOB_NAME": str(job.hyperparameters.platform.get("sagemaker_job_name", "")),
        "SAGEMAKER_REGION": job.region,
        **added,
        **(training := {**job.sm_variables(), "PYTHONPATH": ":".join(path)}),
    }
    logger.info(
        "Invoking user script\n\nTraining Env:\n\n%s\n\nEnvironment variables:\n\n%s\n\n"
        "Invoking script with the following command:\n\n%s\n\n",
        json.dumps(job.as_mapping(), indent=4),
        "\n".join(f"{name}={value}" for name, value in training.items()),
        script,
    )
    process.run(script, job.code, variables)
    tensorflow.warn_about_model(job.model)


def _command(job: TrainingEnvironment) -> str:
    """Write the script's command line.

    Raises NotImplementedError for what is not a Python program, and ValueError for what a shell would act on.
    """
    program = job.program
    if not _PROGRAM.fullmatch(program) or ".." in Path(program).parts:
        raise ValueError(
            f"sagemaker_program: {program!r} is not the name of a file of the code, without blanks and signs of a shell"
        )
    if not program.endswith(".py") or (job.code / "setup.py").exists():
        raise NotImplementedError(
            f"{program}: this launcher runs Python programs; shell scripts and packages need the docker engine"
        )
    # Arguments are not quoted: the toolkit does not quote them either (see process.run).
    arguments = hyperparameters.to_arguments(job.hyperparameters.user)
    for argument in arguments:
        if sign := hyperparameters.shell_sign(argument):
            raise ValueError(
                f"hyperparameters: the toolkit hands {argument!r} to a shell, which would act on {sign!r}, on AWS "
                "as well; put it in quotes of the shell's ('…' within the value), or into a file"
            )
    return " ".join([shlex.quote(sys.executable), program, *arguments])


def _fail(base: Path, message: str, exit_code: int) -> int:
    logger.error("Reporting training FAILURE")
    logger.error(message)
    failure = base / "output" / "failure"
    # A script may have written its own reason.
    if not failure.exists():
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(message, encoding="utf-8")
    logger.error("Encountered exit_code %s", exit_code)
    return exit_code


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Stopped(128 + number)
