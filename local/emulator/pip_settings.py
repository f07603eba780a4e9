"""The user's pip settings that decide where packages come from: uv, which we build with, does not read them."""

from __future__ import annotations

import ast
import subprocess

TRUE = ("1", "true", "yes", "on")


def read_pip_settings(python: str) -> dict[str, str]:
    """What `python -m pip config list` says, as uv's variables; nothing when this Python has no pip.

    Taken over: an index in PyPI's place, working without any index from folders of wheels, and a CA bundle. Additional
    indexes are not: all pinned packages are on PyPI, and uv would let such an index shadow them.
    """
    try:
        result = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse(result.stdout)


def parse(listing: str) -> dict[str, str]:
    """From the lines of `pip config list`, such as `global.index-url='https://…'`."""
    values: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # pip's own order: a later one wins
        for line in listing.splitlines():
            name, _, value = line.strip().partition("=")
            if name.startswith(f"{section}."):
                values[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    variables: dict[str, str] = {}
    if values.get("no-index", "").lower() in TRUE:
        variables["UV_OFFLINE"] = "1"
        variables["UV_FIND_LINKS"] = ",".join(values.get("find-links", "").split())
    elif "index-url" in values:
        variables["UV_DEFAULT_INDEX"] = values["index-url"]
    if "cert" in values:
        variables["SSL_CERT_FILE"] = values["cert"]
    return variables
