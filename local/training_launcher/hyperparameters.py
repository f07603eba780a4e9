"""Hyperparameters as SageMaker's training toolkit reads them, and the two forms in which a script gets them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger("sagemaker-training-toolkit")

PLATFORM_PREFIX = "sagemaker_"
# The toolkit's own settings. What else begins with "sagemaker_" is a setting of the framework.
PLATFORM_KEYS = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_region",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_s3_output",
        "default_user_module_name",
        "_tuning_objective_metric",
    }
)


@dataclass(frozen=True)
class Hyperparameters:
    """The job's hyperparameters, sorted by who they are for."""

    user: dict[str, Any]
    """For the script."""
    platform: dict[str, Any]
    """For the toolkit (PLATFORM_KEYS)."""
    framework: dict[str, Any]
    """Other `sagemaker_…` keys, such as `sagemaker_mpi_enabled`."""


def parse(raw: Mapping[str, Any]) -> Hyperparameters:
    """Decode the content of `hyperparameters.json`: every value is JSON in a string; what is not stays a string."""
    user: dict[str, Any] = {}
    platform: dict[str, Any] = {}
    framework: dict[str, Any] = {}
    for key, text in raw.items():
        try:
            value = json.loads(text)
        except (ValueError, TypeError):
            logger.info("Failed to parse hyperparameter %s value %s to Json.\nReturning the value itself", key, text)
            value = text
        if key in PLATFORM_KEYS:
            platform[key] = value
        elif key.startswith(PLATFORM_PREFIX):
            framework[key] = value
        else:
            user[key] = value
    return Hyperparameters(user, platform, framework)


def to_environment_value(value: object) -> str:
    """Write a value as the toolkit writes it into a variable: strings as they are, None empty, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def to_arguments(user: Mapping[str, Any]) -> list[str]:
    """Write hyperparameters as arguments: `--name value` sorted by name, `-n value` for a name of one letter.

    A value is Python's own text of it (`True`, `[1, 2]`); a dictionary becomes `a=1,b=2`, None an empty string.
    """
    arguments: list[str] = []
    for key in sorted(user):
        value = user[key]
        if isinstance(value, Mapping):
            text = ",".join(f"{name}={item}" for name, item in sorted(value.items()))
        else:
            text = "" if value is None else str(value)
        arguments += [f"--{key}" if len(key) > 1 else f"-{key}", text]
    return arguments


def shell_sign(argument: str) -> str | None:
    """What in an argument a shell would act on if it got it unquoted: a sign that does something, or an open quote.

    The toolkit hands arguments to a shell just so. Words, patterns and quotes are the shell's as well, but run nothing.
    """
    quote, escaped = "", False
    for sign in argument:
        if escaped:
            escaped = False
        elif sign == "\\" and quote != "'":
            escaped = True
        elif sign == quote:
            quote = ""
        elif sign in "'\"" and not quote:
            quote = sign
        elif (sign in "$`" and quote != "'") or (sign in ";&|<>()\n" and not quote):
            return sign
    return quote or ("\\" if escaped else None)
