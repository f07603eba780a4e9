"""Removal: whatever state the resources are in, it says what is verified to be gone."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner.remove import ATTEMPTS, BUSY, remove


class FakeSageMaker:
    """Holds the three resources; an endpoint needs some looks to leave its state, as on AWS."""

    def __init__(
        self, endpoint: str | None = "InService", looks: int = 2, refuse: str = "", refusals: int = 1000
    ) -> None:
        self.endpoint, self.looks, self.refuse, self.refusals = endpoint, looks, refuse, refusals
        self.there = {"endpoint_config", "model"} | ({"endpoint"} if endpoint else set())
        self.deleted: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        verb, _, what = operation.partition("_")

        def call(**_: str) -> dict[str, Any]:
            if what not in self.there:
                raise self._error(f"Could not find {what}")
            return self._describe(what) if verb == "describe" else self._delete(what)

        return call

    def _describe(self, what: str) -> dict[str, Any]:
        if what != "endpoint":
            return {}
        self.looks -= 1
        if self.looks <= 0 and self.endpoint in BUSY:
            self.endpoint = "InService"
        if self.looks <= 0 and self.endpoint == "Deleting":
            self.there.remove("endpoint")
        return {"EndpointStatus": self.endpoint}

    def _delete(self, what: str) -> dict[str, Any]:
        self.refusals -= what == self.refuse
        if (what == self.refuse and self.refusals >= 0) or (what == "endpoint" and self.endpoint in BUSY):
            raise self._error("Cannot do that now")
        self.deleted.append(what)
        if what == "endpoint":
            self.endpoint, self.looks = "Deleting", 2
        else:
            self.there.remove(what)
        return {}

    @staticmethod
    def _error(message: str) -> ClientError:
        return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Operation")


def test_all_three_are_deleted_and_verified() -> None:
    """The endpoint goes first, since it costs money."""
    client = FakeSageMaker()
    assert remove(client, "name", 0.0, print).complete
    assert client.deleted == ["endpoint", "endpoint_config", "model"]


@pytest.mark.parametrize("status", BUSY)
def test_an_endpoint_that_is_busy_is_waited_for(status: str) -> None:
    """AWS refuses to delete it before; the wait is told once."""
    client, said = FakeSageMaker(endpoint=status, looks=3), []
    assert remove(client, "name", 0.0, said.append).complete
    assert len(said) == 1
    assert status in said[0]


@pytest.mark.parametrize("status", ["InService", "Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_in_any_settled_state_is_deleted(status: str) -> None:
    """A failed endpoint is there, too, until it is deleted."""
    client = FakeSageMaker(endpoint=status)
    assert remove(client, "name", 0.0, print).complete
    assert client.deleted[0] == "endpoint"


def test_a_deletion_that_is_refused_once_is_tried_again() -> None:
    """The state may change between the look and the request, and requests may be throttled."""
    client = FakeSageMaker(refuse="endpoint", refusals=ATTEMPTS - 1)
    assert remove(client, "name", 0.0, print).complete


def test_what_was_never_made_counts_as_gone() -> None:
    """A run may end before its endpoint exists."""
    client = FakeSageMaker(endpoint=None)
    assert remove(client, "name", 0.0, print).complete
    assert client.deleted == ["endpoint_config", "model"]


def test_a_refused_deletion_is_told_and_the_others_go_on() -> None:
    """`complete` is true only when each was verified."""
    client = FakeSageMaker(refuse="endpoint_config")
    removal = remove(client, "name", 0.0, print)
    assert not removal.complete
    assert removal.model
    assert removal.endpoint
    assert "endpoint configuration name: " in removal.problems[0]
