"""Many at once, over real sockets: 200 invocations on 4 endpoints, and slow containers that hold up nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config
from emulated import Emulated, private_emulator, unique
from serving import ask, deploy

AT_ONCE, ENDPOINTS = 200, 4


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """One emulator for all tests here."""
    with private_emulator(tmp_path_factory.mktemp("load")) as emulated:
        yield emulated


@pytest.fixture(scope="module")
def endpoints(emulated: Emulated) -> list[str]:
    """Endpoints in service."""
    names = [unique(f"load-{number}") for number in range(ENDPOINTS)]
    for name in names:
        deploy(emulated, name)
    return names


def runtime_of(emulated: Emulated) -> Any:
    """A client with a connection for each thread, that retries nothing."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=AT_ONCE, read_timeout=70)
    return emulated.session().client(
        "sagemaker-runtime", endpoint_url=emulated.variables["AWS_ENDPOINT_URL"], config=config
    )


def test_200_invocations_at_once(emulated: Emulated, endpoints: list[str]) -> None:
    """All are under way at the same time, none fails, and each gets its own answer."""
    runtime = runtime_of(emulated)
    together = threading.Barrier(AT_ONCE)

    def invoke(number: int) -> dict[str, Any]:
        together.wait(60)
        return ask(runtime, endpoints[number % ENDPOINTS], echo=f"number {number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(invoke, range(AT_ONCE)))
    assert [answer["asked"]["echo"] for answer in answers] == [f"number {number}" for number in range(AT_ONCE)]


def test_slow_endpoints_hold_up_nothing(emulated: Emulated, endpoints: list[str]) -> None:
    """While 150 invocations wait for three containers, the fourth endpoint and the control plane answer at once."""
    *slow, quick = endpoints
    runtime, sagemaker = runtime_of(emulated), emulated.client("sagemaker")
    held = 150
    with ThreadPoolExecutor(held) as pool:
        asked = [pool.submit(ask, runtime, slow[n % len(slow)], echo=n, wait="go") for n in range(held)]
        for number in range(10):
            assert ask(runtime, quick, echo=number)["asked"] == {"echo": number}
            assert sagemaker.describe_endpoint(EndpointName=slow[0])["EndpointStatus"] == "InService"
        assert not any(future.done() for future in asked)
        for name in slow:
            ask(runtime, name, go="go")
        assert [future.result()["asked"]["echo"] for future in asked] == list(range(held))


def test_a_burst_of_new_connections_is_not_refused(emulated: Emulated, endpoints: list[str]) -> None:
    """Each with a connection of its own: they wait for their turn in the listener's queue."""
    runtimes = [runtime_of(emulated) for _ in range(20)]
    with ThreadPoolExecutor(len(runtimes)) as pool:
        futures = [pool.submit(ask, each, endpoints[0], echo=n) for n, each in enumerate(runtimes * 5)]
        assert [json.dumps(future.result()["asked"]) for future in futures] == [
            json.dumps({"echo": n}) for n in range(len(futures))
        ]
