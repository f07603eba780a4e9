"""Endpoints when the emulator ends and starts again, over fakes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hosted import MODEL, NEXT, NEXT_SERVES, SERVES, archive, call, config, describe, endpoint, gone, model, until

from emulator.engine.port import ImageNotFound
from emulator.lifecycle.fake import FakeHealth, FakeStorage
from emulator.lifecycle.hosting import Endpoints
from emulator.store.port import Change, Kind, NotFound

Make = Callable[..., SimpleNamespace]


@pytest.fixture
def made(emulator: Make) -> SimpleNamespace:
    """An emulator with an endpoint in service, and the configuration `next`."""
    health = FakeHealth()
    made = emulator(SERVES, storage=FakeStorage({MODEL: archive()}), images={NEXT: NEXT_SERVES}, health=health)
    made.health = health
    model(made, "model")
    model(made, "next", NEXT)
    config(made, "config", {"InitialInstanceCount": 2})
    config(made, "next", {"ModelName": "next"})
    endpoint(made)
    return made


def start_again(made: SimpleNamespace, health: FakeHealth | None = None) -> Endpoints:
    """What a new emulator does with what is stored."""
    made.endpoints = Endpoints(made.services, health or FakeHealth())
    made.endpoints.settle()
    return made.endpoints


def test_a_clean_stop_ends_containers_and_keeps_the_endpoint(made: SimpleNamespace) -> None:
    """Nothing runs any more, and what is stored is what comes back."""
    made.endpoints.shut_down(5)
    assert not any(container.alive() for container in made.engine.started)
    assert made.store.get(Kind.ENDPOINT, "endpoint").status == "InService"


def test_what_a_stop_gives_up_is_no_failure(made: SimpleNamespace) -> None:
    """An image whose making is broken off by the stop does not make its endpoint Failed: it goes on next time."""
    begun, stopped = threading.Event(), threading.Event()

    def prepare(image: str) -> None:
        begun.set()
        stopped.wait(10)
        raise ImageNotFound("given up")

    made.engine.prepare = prepare
    call(made, "CreateEndpoint", EndpointName="other", EndpointConfigName="config")
    call(made, "UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="next")
    assert begun.wait(10)
    made.endpoints.stopping()
    stopped.set()
    made.poll(
        lambda: not [t for t in threading.enumerate() if t.name.endswith(("endpoint other", "e endpoint"))], "end"
    )
    assert made.store.get(Kind.ENDPOINT, "other").status == "Creating"
    assert made.store.get(Kind.ENDPOINT, "endpoint").status == "Updating"


def test_an_endpoint_comes_back_by_itself(made: SimpleNamespace) -> None:
    """SystemUpdating, then InService, with as many instances as it was scaled to; invocations wait for it."""
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3, "DesiredWeight": 5.0}]
    call(made, "UpdateEndpointWeightsAndCapacities", EndpointName="endpoint", DesiredWeightsAndCapacities=desired)
    until(made, "InService")
    made.endpoints.shut_down(5)
    before = len(made.engine.started)
    health = FakeHealth()
    health.healthy = False
    made.clock.sleep = lambda seconds: None
    endpoints = start_again(made, health)
    assert describe(made)["EndpointStatus"] == "SystemUpdating"
    assert describe(made)["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    targets: list[str] = []
    invocation = threading.Thread(target=lambda: targets.append(endpoints.target("endpoint", None).address))
    invocation.start()
    health.healthy = True
    until(made, "InService")
    invocation.join(10)
    assert targets == ["127.0.0.1:8080"]
    assert len(made.engine.started) == before + 3
    variant = describe(made)["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (3, 5.0)


def test_an_endpoint_that_cannot_come_back_is_failed(made: SimpleNamespace) -> None:
    """With the reason; an invocation does not wait any longer, and it can be deleted."""
    made.endpoints.shut_down(5)
    made.storage.broken = {MODEL}
    endpoints = start_again(made)
    failed = until(made, "Failed")
    assert failed.document["FailureReason"].startswith("Failed to download model data for production variant AllTraf")
    with pytest.raises(NotFound):
        endpoints.target("endpoint", None)
    call(SimpleNamespace(context=made.context), "DescribeEndpoint", EndpointName="endpoint")
    endpoints.delete("endpoint")
    made.poll(lambda: gone(made), "its end")


@pytest.mark.parametrize("next_works", [True, False])
def test_an_update_goes_on_after_a_start(made: SimpleNamespace, next_works: bool) -> None:
    """What was acknowledged is carried out; where the new deployment fails, the old one has come back."""
    made.health.sick = {"127.0.0.1:9090"}
    made.clock.sleep = lambda seconds: None
    call(made, "UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="next")
    made.endpoints.shut_down(5)
    assert made.store.get(Kind.ENDPOINT, "endpoint").status == "Updating"
    health = FakeHealth()
    del made.clock.sleep
    if not next_works:
        health.sick = {"127.0.0.1:9090"}
    endpoints = start_again(made, health)
    until(made, "InService")
    assert endpoints.target("endpoint", None).address == ("127.0.0.1:9090" if next_works else "127.0.0.1:8080")
    assert ("FailureReason" in describe(made)) is not next_works


def test_what_a_killed_emulator_left_is_settled(made: SimpleNamespace) -> None:
    """Deleting is finished, Creating goes on, Failed stays as it is."""
    for name, status in (("deleting", "Deleting"), ("creating", "Creating"), ("failed", "Failed")):
        call(made, "CreateEndpoint", EndpointName=name, EndpointConfigName="config")
        found = until(made, "InService", name)
        made.store.change(found, Change(made.clock.now(), status))
    made.endpoints.shut_down(5)
    failed = made.store.get(Kind.ENDPOINT, "failed")
    start_again(made)
    assert gone(made, "deleting")
    until(made, "InService", "creating")
    assert made.store.get(Kind.ENDPOINT, "failed") == failed
