"""Talks to a serving container over HTTP: the health check, and one invocation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import urllib3

PING_SECONDS = 2.0  # AWS gives /ping two seconds
INVOCATION_SECONDS = 60.0  # and /invocations sixty


# A connection a request: on loopback it costs nothing, and there is no stale one that fails in the client's face.
_CLOSE = {"Connection": "close"}


class NoAnswer(Exception):
    """The container gave none; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What the container answered."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class ContainerClient:
    """HTTP to the containers on this machine; safe to use from several threads."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=64, maxsize=16, retries=False)

    def ping(self, address: str) -> bool:
        """Whether /ping answers 200 in time."""
        try:
            response = self._pool.request("GET", f"http://{address}/ping", timeout=PING_SECONDS, headers=_CLOSE)
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == 200

    def invoke(
        self, address: str, body: bytes, headers: Mapping[str, str], seconds: float = INVOCATION_SECONDS
    ) -> Answer:
        """POST /invocations. Raises NoAnswer when there is none within the time."""
        try:
            response = self._pool.request(
                "POST",
                f"http://{address}/invocations",
                body=body,
                headers={**headers, **_CLOSE},
                timeout=seconds,
                redirect=False,
                decode_content=False,
            )
        except urllib3.exceptions.TimeoutError:
            # AWS's own text of a model that is too slow.
            raise NoAnswer(
                "Your invocation timed out while waiting for a response from container primary. Review the latency "
                "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(f"The container did not answer: {error}") from error
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.data)
