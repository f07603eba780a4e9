"""UpdateEndpoint and UpdateEndpointWeightsAndCapacities over fakes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hosted import MODEL, NEXT, NEXT_SERVES, SERVES, archive, call, config, describe, endpoint, gone, model, until

from emulator.engine.fake import History
from emulator.errors import ValidationError
from emulator.lifecycle.fake import FakeHealth, FakeStorage
from emulator.store.port import Kind

Make = Callable[..., SimpleNamespace]
ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/endpoint"
TWO = ({"VariantName": "A", "InitialInstanceCount": 2, "InitialVariantWeight": 3.0}, {"VariantName": "B"})
OLD, NEW = "127.0.0.1:8080", "127.0.0.1:9090"


@pytest.fixture
def made(emulator: Make) -> SimpleNamespace:
    """An emulator with a model of either image, and configurations `config` and `next`; health can be taken away."""
    health = FakeHealth()
    made = emulator(SERVES, storage=FakeStorage({MODEL: archive()}), health=health, images={NEXT: NEXT_SERVES})
    made.health = health
    model(made, "model")
    model(made, "next", NEXT)
    config(made, "next", {"ModelName": "next"})
    return made


def update(made: SimpleNamespace, config_name: str = "next", **more: Any) -> None:
    """UpdateEndpoint."""
    call(made, "UpdateEndpoint", EndpointName="endpoint", EndpointConfigName=config_name, **more)


def rescale(made: SimpleNamespace, *desired: dict[str, Any]) -> None:
    """UpdateEndpointWeightsAndCapacities."""
    call(made, "UpdateEndpointWeightsAndCapacities", EndpointName="endpoint", DesiredWeightsAndCapacities=list(desired))


def test_the_old_deployment_serves_until_the_new_one_is_ready(made: SimpleNamespace) -> None:
    """Updating shows what is coming; then the new one serves, and nothing of the old one is left."""
    config(made, "config")
    endpoint(made)
    made.health.sick = {NEW}
    made.clock.sleep = lambda seconds: None  # it is not given up
    update(made)
    made.poll(lambda: len(made.engine.started) == 2, "the new container")
    during = describe(made)
    assert during["EndpointStatus"] == "Updating"
    assert during["EndpointConfigName"] == "config"
    assert during["PendingDeploymentSummary"]["EndpointConfigName"] == "next"
    assert during["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Creating"
    assert made.endpoints.target("endpoint", None).address == OLD
    made.health.sick = set()
    until(made, "InService")
    assert made.endpoints.target("endpoint", None).address == NEW
    after = describe(made)
    assert after["EndpointConfigName"] == "next"
    assert after["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"] == NEXT
    assert "PendingDeploymentSummary" not in after


def test_a_request_under_way_is_answered_before_its_instance_ends(made: SimpleNamespace) -> None:
    """The old container lives on while one is, and ends then; its files go, those of the new one stay."""
    config(made, "config")
    endpoint(made)
    with made.endpoints.target("endpoint", None) as target:
        update(made)
        until(made, "InService")
        assert made.endpoints.target("endpoint", None).address == NEW
        assert target.address == OLD
        assert made.engine.started[0].alive()
    made.poll(lambda: not made.engine.started[0].alive(), "the old container's end")
    old, new = (container.work.base_dir for container in made.engine.started)
    made.poll(lambda: not old.exists(), "the end of its files")
    assert (new / "model/1/saved_model.pb").exists()


def test_an_endpoint_can_be_deleted_while_the_old_deployment_is_drained(made: SimpleNamespace) -> None:
    """Nothing of either is left."""
    config(made, "config")
    endpoint(made)
    with made.endpoints.target("endpoint", None):
        update(made)
        until(made, "InService")
        call(made, "DeleteEndpoint", EndpointName="endpoint")
        made.poll(lambda: gone(made), "the endpoint's end")
    assert not any(container.alive() for container in made.engine.started)
    assert list(made.work.iterdir()) == []


@pytest.mark.parametrize(
    ("next_image", "reason"),
    [
        (History(fails_to_start="no such file"), "no such file"),
        (History(lines=("no signature",), code=3, address=NEW), "did not pass the ping health check"),
    ],
)
def test_the_old_deployment_stays_when_the_new_one_fails(emulator: Make, next_image: History, reason: str) -> None:
    """InService with the old configuration, and a FailureReason, until the next update succeeds."""
    health = FakeHealth()
    health.sick = {NEW}
    third = "third.dkr.ecr.us-east-1.amazonaws.com/image:3"
    images = {NEXT: next_image, third: NEXT_SERVES}
    made = emulator(SERVES, storage=FakeStorage({MODEL: archive()}), health=health, images=images)
    model(made, "model")
    model(made, "next", NEXT)
    model(made, "third", third)
    config(made, "config")
    config(made, "next", {"ModelName": "next"})
    config(made, "third", {"ModelName": "third"})
    endpoint(made)
    update(made)
    until(made, "InService")
    answer = describe(made)
    assert reason in answer["FailureReason"]
    assert answer["EndpointConfigName"] == "config"
    assert answer["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert made.endpoints.target("endpoint", None).address == OLD
    health.sick = set()
    update(made, "third")
    until(made, "InService")
    assert "FailureReason" not in describe(made)


def test_variant_properties_can_be_retained(made: SimpleNamespace) -> None:
    """Weights, counts and capture are those of the endpoint, except what ExcludeRetainedVariantProperties names."""
    capture = {"InitialSamplingPercentage": 50, "DestinationS3Uri": "s3://bucket/old", "CaptureOptions": []}
    config(made, "config", *TWO, DataCaptureConfig={**capture, "EnableCapture": True})
    config(made, "keeps", {"VariantName": "A"}, {"VariantName": "C", "InitialVariantWeight": 9.0})
    config(made, "takes", {"VariantName": "A", "InitialVariantWeight": 7.0})
    endpoint(made)
    update(made, "keeps", RetainAllVariantProperties=True)
    until(made, "InService")
    a, c = describe(made)["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (3.0, 2)
    assert (c["CurrentWeight"], c["CurrentInstanceCount"]) == (9.0, 1)
    assert describe(made)["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": "s3://bucket/old",
        "KmsKeyId": "",
    }
    exclude = [{"VariantPropertyType": name} for name in ("DesiredWeight", "DataCaptureConfig")]
    update(made, "takes", RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=exclude)
    until(made, "InService")
    (a,) = describe(made)["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (7.0, 2)
    assert "DataCaptureConfig" not in describe(made)


def test_the_last_deployment_config_is_shown(made: SimpleNamespace) -> None:
    """That of the last update that said one, or retained it; gone after one that did neither."""
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    config(made, "config")
    config(made, "third")
    endpoint(made)
    for name, more, shown in (
        ("next", {"DeploymentConfig": {"BlueGreenUpdatePolicy": policy}}, True),
        ("third", {"RetainDeploymentConfig": True}, True),
        ("config", {}, False),
    ):
        update(made, name, **more)
        until(made, "InService")
        assert ("LastDeploymentConfig" in describe(made)) is shown


def test_weights_count_at_once_and_instances_come_and_go(made: SimpleNamespace) -> None:
    """Updating, then InService with what was desired; a variant that is not named stays as it is."""
    config(made, "config", *TWO)
    endpoint(made)
    rescale(
        made,
        {"VariantName": "A", "DesiredWeight": 0.0, "DesiredInstanceCount": 1},
        {"VariantName": "B", "DesiredInstanceCount": 3},
    )
    until(made, "InService")
    a, b = describe(made)["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"], a["DesiredInstanceCount"]) == (0.0, 1, 1)
    assert (b["CurrentWeight"], b["CurrentInstanceCount"], b["DesiredInstanceCount"]) == (1.0, 3, 3)
    assert made.endpoints.target("endpoint", None).variant == "B"
    assert len({made.endpoints.target("endpoint", "B").instance for _ in range(9)}) == 3
    assert sum(container.alive() for container in made.engine.started) == 4


def test_instances_that_cannot_be_had_change_nothing(made: SimpleNamespace) -> None:
    """InService as before, weights too, with a FailureReason; those that had started are gone."""
    config(made, "config", *TWO)
    endpoint(made)
    made.health.sick = {OLD}
    rescale(made, {"VariantName": "A", "DesiredWeight": 8.0, "DesiredInstanceCount": 4})
    until(made, "InService")
    answer = describe(made)
    assert "did not answer 200 within 240 seconds" in answer["FailureReason"]
    a = answer["ProductionVariants"][0]
    assert (a["CurrentWeight"], a["DesiredWeight"], a["CurrentInstanceCount"]) == (3.0, 3.0, 2)
    assert sum(container.alive() for container in made.engine.started) == 3
    assert made.endpoints.target("endpoint", None).address == OLD


def test_a_full_disk_changes_nothing(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an update nor more instances: the endpoint serves on as it was, and says why."""
    config(made, "config")
    endpoint(made)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("emulator.lifecycle.replica.share", full)
    for change in (
        lambda: update(made),
        lambda: rescale(made, {"VariantName": "AllTraffic", "DesiredInstanceCount": 3}),
    ):
        change()
        until(made, "InService")
        answer = describe(made)
        assert "cannot be stored here: [Errno 28] No space left on device" in answer["FailureReason"]
        assert answer["ProductionVariants"][0]["CurrentInstanceCount"] == 1
        assert made.endpoints.target("endpoint", None).address == OLD
    assert len(made.engine.started) == 1


def test_an_instance_that_is_taken_away_answers_first(made: SimpleNamespace) -> None:
    """It gets nothing new meanwhile."""
    config(made, "config", {"InitialInstanceCount": 2})
    endpoint(made)
    targets = [made.endpoints.target("endpoint", None) for _ in range(2)]
    rescale(made, {"VariantName": "AllTraffic", "DesiredInstanceCount": 1})
    made.poll(lambda: len({made.endpoints.target("endpoint", None).instance for _ in range(2)}) == 1, "one instance")
    assert all(container.alive() for container in made.engine.started)
    assert describe(made)["EndpointStatus"] == "Updating"
    assert describe(made)["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Updating"
    for target in targets:
        target.release()
    until(made, "InService")
    assert [container.alive() for container in made.engine.started] == [True, False]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("UpdateEndpoint", {"EndpointConfigName": "next"}),
        ("UpdateEndpointWeightsAndCapacities", {"DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic"}]}),
        ("DeleteEndpoint", {}),
    ],
)
def test_an_endpoint_in_between_cannot_be_changed(
    made: SimpleNamespace, operation: str, parameters: dict[str, Any]
) -> None:
    """AWS's own text, while it is Creating and while it is Updating."""
    config(made, "config")
    config(made, "third")
    made.clock.sleep = lambda seconds: None
    for status in ("Creating", "Updating"):
        made.health.healthy = False
        if status == "Creating":
            call(made, "CreateEndpoint", EndpointName="endpoint", EndpointConfigName="config")
        else:
            update(made, "third")
        with pytest.raises(ValidationError) as raised:
            call(made, operation, EndpointName="endpoint", **parameters)
        assert raised.value.message == f'Cannot update in-progress endpoint "{ARN}".'
        made.health.healthy = True
        until(made, "InService")


def test_what_cannot_be_updated(made: SimpleNamespace) -> None:
    """A failed endpoint, an unknown one, an unknown variant or configuration, and the configuration that it has."""
    config(made, "config")
    endpoint(made)
    for parameters, text in (
        ({"EndpointConfigName": "none"}, "Could not find endpoint configuration"),
        ({"EndpointConfigName": "config"}, "Cannot update endpoint with the currently in use endpoint configuration."),
        ({"EndpointName": "none", "EndpointConfigName": "next"}, "Could not find endpoint "),
    ):
        with pytest.raises(ValidationError, match=text):
            call(made, "UpdateEndpoint", **{"EndpointName": "endpoint", **parameters})
    with pytest.raises(ValidationError, match=r'^The variant name\(s\) "X" is/are not present within Endpoint conf'):
        rescale(made, {"VariantName": "X", "DesiredWeight": 1.0})
    with pytest.raises(ValidationError, match="DesiredInstanceCount must be at least 1"):
        rescale(made, {"VariantName": "AllTraffic", "DesiredInstanceCount": 0})
    assert made.store.get(Kind.ENDPOINT, "endpoint").status == "InService"
    made.storage.broken = {MODEL}
    call(made, "CreateEndpoint", EndpointName="other", EndpointConfigName="config")
    until(made, "Failed", "other")
    with pytest.raises(ValidationError, match=r'Cannot update endpoint ".*endpoint/other" in status Failed'):
        call(made, "UpdateEndpoint", EndpointName="other", EndpointConfigName="next")
