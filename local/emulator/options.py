"""Checks of `up`'s options: what cannot work is said in one line that names the option, before anything starts."""

from __future__ import annotations

import re
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}")
_ANSWER_SECONDS = 10.0
_LONGEST_HOLD = 50.0  # clients of AWS's SDKs wait a minute for an answer
_ANY = {"--port": "0", "--engine": "auto"}  # values that every emulator has


class OptionUnusable(Exception):
    """The option cannot be followed; the message names it and the reason."""


def port(text: str) -> int:
    """A TCP port, 0 for any free one. Raises ArgumentTypeError."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535, 0 for any free one")
    return int(text)


def jobs(text: str) -> int:
    """How many training jobs run at once. Raises ArgumentTypeError."""
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of jobs: from 1 to 9999 run at once, the others wait")
    return int(text)


def hold(text: str) -> float:
    """Seconds, from 0 to 50. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_HOLD:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {_LONGEST_HOLD:g}")
    return seconds


def region(text: str) -> str:
    """A name of the form that AWS's regions have. Raises ArgumentTypeError."""
    if not _REGION.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} does not have the form of a region's name, such as us-east-1")
    return text


def check_s3_endpoint(url: str) -> None:
    """Raise OptionUnusable unless it is a URL that we can talk to, and something answers there."""
    import http.client

    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError:
        host, number, parts = None, None, urlsplit("")
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise OptionUnusable(f"--s3-endpoint {url}: this is not of the form http://HOST:PORT")
    connection = http.client.HTTPConnection(host, number, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse()  # any answer will do: S3 refuses what is not signed
    except (OSError, http.client.HTTPException) as error:
        raise OptionUnusable(f"--s3-endpoint {url}: nothing answers there: {error or type(error).__name__}") from error
    finally:
        connection.close()


def check_record(path: Path) -> None:
    """Raise OptionUnusable unless lines can be appended to the file."""
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise OptionUnusable(f"--record {path}: {error.strerror or error}") from error


def check_state_dir(path: Path) -> None:
    """Make the folder if need be. Raises OptionUnusable when it cannot be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise OptionUnusable(f"--state-dir {path}: {error.strerror or error}") from error


def given(options: Namespace) -> dict[str, str]:
    """What was asked for, by flag, in a form that does not depend on this process's folder; no defaults."""
    found = {}
    for flag in (
        "--port",
        "--engine",
        "--jobs",
        "--limits",
        "--region",
        "--state-dir",
        "--images",
        "--record",
        "--s3-endpoint",
        "--hold",
    ):
        value = getattr(options, flag.removeprefix("--").replace("-", "_"))
        if value is True:  # a flag alone
            found[flag] = ""
        elif value is not None:
            found[flag] = str(value.absolute() if isinstance(value, Path) else value)
    return found


def differences(asked: Mapping[str, str], found: Mapping[str, str | None]) -> list[str]:
    """For people, what an emulator that has the options `found` does not have of what was asked for."""
    return [
        f"{flag} {value}".strip() + f" (it has {found.get(flag) or 'none'})"
        for flag, value in asked.items()
        if value not in (_ANY.get(flag), found.get(flag))
    ]
