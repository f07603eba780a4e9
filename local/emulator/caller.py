"""Who asks: what is known of the client whose request the current thread answers."""

from __future__ import annotations

from contextvars import ContextVar

user_agent: ContextVar[str] = ContextVar("user_agent", default="")
"""The request's User-Agent; empty outside of a request."""


def is_waiter() -> bool:
    """Whether the client says that it does nothing but wait.

    AWS's SDKs tell which of their features made a request, as `m/` and a list of ids; `B` is a waiter
    (botocore 1.36 and later: `useragent.py`, `_USERAGENT_FEATURE_MAPPINGS`).
    """
    features = (part[2:].split(",") for part in user_agent.get().split() if part.startswith("m/"))
    return any("B" in ids for ids in features)
