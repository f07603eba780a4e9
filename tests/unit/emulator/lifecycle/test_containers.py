"""Models of several containers, and where their data comes from, over fakes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hosted import MODEL, NEXT, NEXT_SERVES, SERVES, archive, call, config, describe, endpoint, until

from emulator.engine.fake import History
from emulator.lifecycle.fake import FakeHealth, FakeStorage
from emulator.lifecycle.target import NoneHealthy

Make = Callable[..., SimpleNamespace]
OTHER = "s3://bucket/other/model.tar.gz"
OBJECTS = {MODEL: archive(b"first"), OTHER: archive(b"second"), "s3://bucket/files/words.json": b"[]"}


def pipeline(made: SimpleNamespace, *names: str, mode: str | None = None) -> None:
    """A model of two containers."""
    containers: list[dict[str, Any]] = [
        {"Image": made.image, "ModelDataUrl": MODEL, "Environment": {"STEP": "1"}},
        {"Image": NEXT, "ModelDataUrl": OTHER},
    ]
    for container, name in zip(containers, names, strict=False):
        container["ContainerHostname"] = name
    more = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    call(made, "CreateModel", ModelName="model", Containers=containers, **more)
    config(made, "config", {"InitialInstanceCount": 2})


def test_each_container_of_a_pipeline_has_its_own_model_address_and_log(emulator: Make) -> None:
    """In the order of the model's Containers, named as AWS names them where they have no ContainerHostname."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS), images={NEXT: NEXT_SERVES})
    pipeline(made, "prepare")
    endpoint(made)
    target = made.endpoints.target("endpoint", None)
    assert [(hop.container, hop.address) for hop in target.hops] == [
        ("prepare", "127.0.0.1:8080"),
        ("container-2", "127.0.0.1:9090"),
    ]
    assert not target.direct
    assert [hop.log_stream for hop in target.hops] == [
        f"AllTraffic/{target.instance}/prepare",
        f"AllTraffic/{target.instance}/container-2",
    ]
    assert made.logs.lines[target.log_group, target.log_stream] == ["serving"]
    works = [c.work for c in made.engine.started if target.instance in c.work.name]
    assert [(w.base_dir / "model/1/saved_model.pb").read_bytes() for w in works] == [b"first", b"second"]
    assert [w.environment.get("STEP") for w in works] == ["1", None]
    assert len({c.work.base_dir for c in made.engine.started}) == 4
    images = describe(made)["ProductionVariants"][0]["DeployedImages"]
    assert [image["SpecifiedImage"] for image in images] == [made.image, NEXT]


def test_direct_mode_is_told(emulator: Make) -> None:
    """TargetContainerHostname then names one of the hops."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS), images={NEXT: NEXT_SERVES})
    pipeline(made, "a", "b", mode="Direct")
    endpoint(made)
    target = made.endpoints.target("endpoint", None)
    assert target.direct
    assert [hop.container for hop in target.hops] == ["a", "b"]


def test_a_pipeline_is_healthy_when_all_of_its_containers_are(emulator: Make) -> None:
    """One that is not fails the endpoint, and is named in the reason."""
    health = FakeHealth()
    health.sick = {"127.0.0.1:9090"}
    made = emulator(SERVES, storage=FakeStorage(OBJECTS), health=health, images={NEXT: NEXT_SERVES})
    pipeline(made)
    call(made, "CreateEndpoint", EndpointName="endpoint", EndpointConfigName="config")
    reason = until(made, "Failed").document["FailureReason"]
    assert reason.startswith("The container-2 container for production variant AllTraffic did not pass the ping health")
    assert not any(container.alive() for container in made.engine.started)
    assert list(made.work.iterdir()) == []


def test_a_pipeline_answers_nothing_while_one_of_its_containers_is_down(emulator: Make) -> None:
    """Even though the others are there."""
    health = FakeHealth()
    made = emulator(SERVES, storage=FakeStorage(OBJECTS), health=health, images={NEXT: NEXT_SERVES})
    made.clock.sleep = lambda seconds: None
    pipeline(made)
    endpoint(made)
    health.sick = {"127.0.0.1:9090"}
    for container in [c for c in made.engine.started if c.work.image == NEXT]:
        container.stop(0)

    def down() -> NoneHealthy | None:
        try:
            made.endpoints.target("endpoint", None)
        except NoneHealthy as error:
            return error
        return None

    assert [hop.container for hop in made.poll(down, "nothing healthy").target.hops] == ["container-1", "container-2"]
    health.sick = set()
    made.poll(lambda: not down(), "healthy again")


@pytest.mark.parametrize(
    ("uri", "kind", "compression", "files"),
    [
        ("s3://bucket/files/", "S3Prefix", "None", {"words.json"}),
        ("s3://bucket/files/words.json", "S3Object", "None", {"words.json"}),
        (MODEL, "S3Object", "Gzip", {"1"}),
    ],
)
def test_a_model_data_source_is_put_where_an_archive_would_be(
    emulator: Make, uri: str, kind: str, compression: str, files: set[str]
) -> None:
    """Objects as they are, or an archive unpacked."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS))
    source = {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}
    container = {"Image": made.image, "ModelDataSource": {"S3DataSource": source}}
    call(made, "CreateModel", ModelName="model", PrimaryContainer=container)
    config(made, "config")
    endpoint(made)
    model = made.engine.started[0].work.base_dir / "model"
    assert {path.name for path in model.iterdir()} == files


def test_a_serverless_variant_is_one_instance(emulator: Make) -> None:
    """Described as AWS describes it: with its configuration, and without instances."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS))
    call(made, "CreateModel", ModelName="model", PrimaryContainer={"Image": made.image})
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    variant = {"VariantName": "AllTraffic", "ModelName": "model", "ServerlessConfig": serverless}
    call(made, "CreateEndpointConfig", EndpointConfigName="config", ProductionVariants=[variant])
    endpoint(made)
    assert len(made.engine.started) == 1
    described = describe(made)["ProductionVariants"][0]
    assert described["CurrentServerlessConfig"] == serverless
    assert described["CurrentInstanceCount"] == 0
    assert "DesiredInstanceCount" not in described


@pytest.mark.parametrize(("strategy", "expected"), [("LEAST_OUTSTANDING_REQUESTS", 2), ("RANDOM", 1)])
def test_routing_strategies(emulator: Make, strategy: str, expected: int) -> None:
    """The instance with the fewest invocations under way, or any: of two at a time, how many instances get one."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS))  # whose choice is always the first
    call(made, "CreateModel", ModelName="model", PrimaryContainer={"Image": made.image})
    config(made, "config", {"InitialInstanceCount": 2, "RoutingConfig": {"RoutingStrategy": strategy}})
    endpoint(made)
    with made.endpoints.target("endpoint", None) as first, made.endpoints.target("endpoint", None) as second:
        assert len({first.instance, second.instance}) == expected


def test_one_container_that_exits_leaves_other_endpoints_alone(emulator: Make) -> None:
    """Its endpoint is Failed; the other one serves on."""
    made = emulator(SERVES, storage=FakeStorage(OBJECTS), images={NEXT: History(code=1, address="127.0.0.1:1")})
    health = made.endpoints._http.health
    health.sick = {"127.0.0.1:1"}
    call(made, "CreateModel", ModelName="model", PrimaryContainer={"Image": made.image})
    call(made, "CreateModel", ModelName="dies", PrimaryContainer={"Image": NEXT})
    config(made, "config")
    config(made, "dies", {"ModelName": "dies"})
    endpoint(made)
    call(made, "CreateEndpoint", EndpointName="other", EndpointConfigName="dies")
    assert "exited with code 1" in until(made, "Failed", "other").document["FailureReason"]
    assert made.endpoints.target("endpoint", None).address == "127.0.0.1:8080"
