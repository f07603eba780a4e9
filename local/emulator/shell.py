"""What `emulator env` prints for a shell: the emulator's variables, and the end of all that would lead past it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping

# Botocore's names of what goes through the emulator: an endpoint of a service wins over AWS_ENDPOINT_URL.
_SERVICES = ("S3", "S3_CONTROL", "STS", "IAM", "KMS", "CLOUDWATCH_LOGS", "SAGEMAKER", "SAGEMAKER_RUNTIME")
_ENDPOINT = "AWS_ENDPOINT_URL_"
_UNSET = (
    # Other credentials, or a part of them that does not belong to ours.
    *("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    # Other endpoints; with the last two, clients refuse an endpoint of one's own.
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
    *(f"{_ENDPOINT}{service}" for service in _SERVICES),
)
# A profile, or a `services` section of one, in the user's own files diverts clients as well as a variable does.
_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def lines(environment: Mapping[str, str], present: Iterable[str]) -> list[str]:
    """Lines for `eval`; `present` are the names that the shell has now, of which endpoints of any service go, too."""
    others = (name for name in present if name.startswith(_ENDPOINT) and name.isidentifier() and name.isascii())
    unset = sorted({*_UNSET, *others})
    exported = {**environment, **_FILES}
    return [
        *(f"export {name}={shlex.quote(value)}" for name, value in exported.items()),
        f"unset {' '.join(unset)}",
    ]
