"""What an endpoint runs: for each production variant its model, unpacked, and a container for each of its instances."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator import opt_ml
from emulator.account import endpoint_log_group
from emulator.engine.port import ImageNotFound, StartFailed, Work
from emulator.lifecycle.ports import Services, StorageError
from emulator.lifecycle.serving import Health, ServingContainer, ServingSpec
from emulator.lifecycle.target import Hop, InFlight, Lease, NoneHealthy, Target
from emulator.store.port import Resource

STARTUP_SECONDS = 240.0  # AWS: a container must pass the check within four minutes, if the variant says no other
_FLUSH_SECONDS = 5.0


class DeploymentFailed(Exception):
    """The endpoint cannot be brought into service; the message is its FailureReason."""


@dataclass
class _Replica:
    """One instance of a variant."""

    container: ServingContainer
    log_stream: str
    thread: threading.Thread
    in_flight: InFlight = field(default_factory=InFlight)


@dataclass
class _Variant:
    """A production variant and what runs for it."""

    config: Mapping[str, Any]  # an element of the endpoint configuration's ProductionVariants
    model: Mapping[str, Any]  # the container definition
    replicas: list[_Replica] = field(default_factory=list)
    turn: int = 0

    @property
    def name(self) -> str:
        name: str = self.config["VariantName"]
        return name

    @property
    def weight(self) -> float:
        return float(self.config.get("InitialVariantWeight", 1.0))


class Deployment:
    """The containers of one endpoint. `start` once, then `target` from any thread, then `stop` once."""

    def __init__(self, services: Services, health: Health, endpoint: Resource) -> None:
        self._services = services
        self._health = health
        self._endpoint = endpoint
        self._group = endpoint_log_group(endpoint.name)
        self._folder = services.work_dir / f"endpoint-{endpoint.name}"
        self._variants = [_Variant(v["Variant"], v["Container"]) for v in endpoint.document["Deployment"]]
        self._logs: list[Any] = []
        self._lock = threading.Lock()
        self._stopped = False

    def start(self, failed: Callable[[str], None]) -> None:
        """Start everything and return when all of it is healthy. Raises DeploymentFailed.

        `failed` is called from another thread when a container dies later and does not come back.
        """
        outcomes: list[str | None] = []
        changed = threading.Condition()

        def outcome(reason: str | None) -> None:
            with changed:
                outcomes.append(reason)
                changed.notify()

        count = 0
        for variant in self._variants:
            self._fetch(variant)
            for number in range(int(variant.config.get("InitialInstanceCount", 1))):
                self._launch(variant, number, outcome, failed)
                count += 1
        with changed:
            changed.wait_for(lambda: len(outcomes) == count or any(outcomes))
            reason = next((o for o in outcomes if o), None)
        if reason is not None:
            raise DeploymentFailed(reason)

    def stop(self, grace_seconds: float) -> None:
        """End all containers and remove their files."""
        with self._lock:
            self._stopped = True
            replicas = [r for v in self._variants for r in v.replicas]
        stoppers = [threading.Thread(target=r.container.stop, args=(grace_seconds,), daemon=True) for r in replicas]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()
        for replica in replicas:
            if replica.thread is not threading.current_thread():
                replica.thread.join(grace_seconds + 5)
        for log in self._logs:
            log.flush(_FLUSH_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def target(self, variant: str | None, choice: float) -> Target:
        """A healthy container: of the named variant, or of the one that `choice` (0 <= x < 1) hits by weight.

        Raises KeyError when there is no such variant, NoneHealthy when none of its containers is healthy.
        """
        chosen = self._by_weight(choice) if variant is None else {v.name: v for v in self._variants}[variant]
        with self._lock:
            chosen.turn += 1
            turn = chosen.turn
        for offset in range(len(chosen.replicas)):
            replica = chosen.replicas[(turn + offset) % len(chosen.replicas)]
            address = replica.container.address
            if address:
                return self._target(chosen, replica, address, replica.in_flight.begin())
        raise NoneHealthy(self._target(chosen, chosen.replicas[0], "", InFlight().begin()))

    def _target(self, variant: _Variant, replica: _Replica, address: str, lease: Lease) -> Target:
        hop = Hop("primary", address, self._group, replica.log_stream)
        return Target(self._endpoint.name, variant.name, (hop,), lease=lease)

    def summaries(self) -> list[dict[str, Any]]:
        """The variants as DescribeEndpoint shows them."""
        return [variant_summary(v.config, v.model, len(v.replicas), self._services.clock.now()) for v in self._variants]

    def _by_weight(self, choice: float) -> _Variant:
        total = sum(v.weight for v in self._variants)
        position = choice * total
        for variant in self._variants:
            position -= variant.weight
            if position < 0:
                return variant
        return self._variants[0]  # all weights are 0

    def _fetch(self, variant: _Variant) -> None:
        base = self._base(variant)
        base.mkdir(parents=True, exist_ok=True)
        try:
            self._services.engine.prepare(variant.model["Image"])
        except (ImageNotFound, StartFailed) as error:
            raise DeploymentFailed(f"The image of production variant {variant.name} cannot be had. {error}") from error
        archive: Path | None = None
        uri = variant.model.get("ModelDataUrl")
        if uri:
            archive = base / "model.tar.gz"
            try:
                self._services.storage.download(uri, archive)
            except StorageError as error:
                raise DeploymentFailed(
                    f"Failed to download model data for production variant {variant.name} from {uri}: {error}"
                ) from error
        try:
            opt_ml.write_serving_tree(base, archive)
        except opt_ml.BadArchive as error:
            raise DeploymentFailed(
                f"Failed to extract model data archive for production variant {variant.name} from URL {uri}: {error}"
            ) from error

    def _launch(
        self, variant: _Variant, number: int, outcome: Callable[[str | None], None], failed: Callable[[str], None]
    ) -> None:
        instance = f"i-{uuid.uuid4().hex[:17]}"
        stream = f"{variant.name}/{instance}"
        log = self._services.logs.open(self._group, stream)
        environment = {**variant.model.get("Environment", {}), **self._services.environment}
        work = Work(
            f"endpoint/{self._endpoint.name}/{variant.name}/{number}",
            variant.model["Image"],
            "serve",
            self._base(variant),
            environment=environment,
            instance_type=variant.config.get("InstanceType", ""),
        )
        seconds = float(variant.config.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS))
        spec = ServingSpec(work, variant.name, seconds, self._services.serving_grace_seconds)
        container = ServingContainer(self._services.engine, self._services.clock, self._health, log, spec)
        thread = threading.Thread(
            target=container.run, args=(outcome, failed), name=f"{self._endpoint.name} {stream}", daemon=True
        )
        with self._lock:
            if self._stopped:
                raise DeploymentFailed("The endpoint was stopped while it was being created.")
            self._logs.append(log)
            variant.replicas.append(_Replica(container, stream, thread))
        thread.start()

    def _base(self, variant: _Variant) -> Path:
        return self._folder / variant.name


def variant_summary(
    config: Mapping[str, Any], model: Mapping[str, Any], instances: int, resolved: Any
) -> dict[str, Any]:
    """A production variant as DescribeEndpoint shows it, with that many instances running."""
    weight = float(config.get("InitialVariantWeight", 1.0))
    image = model["Image"]
    return {
        "VariantName": config["VariantName"],
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": resolved}],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": instances,
        "DesiredInstanceCount": int(config.get("InitialInstanceCount", 1)),
    }
