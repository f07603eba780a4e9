"""A production variant that runs: its instances, which of them answers next, more of them and fewer."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from emulator.account import endpoint_log_group
from emulator.engine.port import ImageNotFound, StartFailed
from emulator.lifecycle import model_data
from emulator.lifecycle.container_http import ContainerHttp
from emulator.lifecycle.plan import VariantPlan
from emulator.lifecycle.ports import Services
from emulator.lifecycle.replica import Place, Replica
from emulator.lifecycle.target import Hop, NoneHealthy, Target


class DeploymentFailed(Exception):
    """The endpoint cannot be brought into service; the message is its FailureReason."""


class Outcomes:
    """Collects what became of containers that were started: None, or why one never became healthy."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._outcomes: list[str | None] = []

    def add(self, reason: str | None) -> None:
        """One more."""
        with self._changed:
            self._outcomes.append(reason)
            self._changed.notify()

    def wait(self, count: int) -> None:
        """Wait until so many are healthy, or one is not. Raises DeploymentFailed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._outcomes) >= count or any(self._outcomes))
            reason = next((o for o in self._outcomes if o), None)
        if reason is not None:
            raise DeploymentFailed(reason)


class Variant:
    """Owns the instances. `fetch`, then `grow`; `next` from any thread; then `stop`."""

    def __init__(self, services: Services, http: ContainerHttp, endpoint: str, plan: VariantPlan, folder: Path) -> None:
        self._services, self._http = services, http
        self._endpoint = endpoint
        self._folder = folder
        self._turn = 0
        self._replicas: tuple[Replica, ...] = ()
        self._lock = threading.Lock()
        self._stopped = False
        self.plan = plan
        self.weight = plan.weight

    @property
    def size(self) -> int:
        """How many instances there are."""
        return len(self._replicas)

    def fetch(self) -> None:
        """Make images and models ready. Raises DeploymentFailed."""
        name = self.plan.name
        for number, definition in enumerate(self.plan.containers):
            try:
                self._services.engine.prepare(definition["Image"])
            except (ImageNotFound, StartFailed) as error:
                raise DeploymentFailed(f"The image of production variant {name} cannot be had. {error}") from error
            try:
                model_data.fetch(self._services.storage, definition, self._model(number), name)
            except model_data.ModelDataFailed as error:
                raise DeploymentFailed(str(error)) from error
            except OSError as error:
                raise self._unwritten(error) from error

    def grow(self, count: int, outcomes: Outcomes, failed: Callable[[str], None]) -> int:
        """Start so many more instances; returns how many containers that are.

        Raises DeploymentFailed when it was stopped meanwhile, or their files cannot be written; those that were
        started are the latest then.
        """
        containers = 0
        for _ in range(count):
            instance = f"i-{uuid.uuid4().hex[:17]}"
            place = Place(self._endpoint, endpoint_log_group(self._endpoint), instance, self._folder / instance)
            replica = Replica(self._services, self._http, self.plan, place)
            models = [self._model(number) for number in range(len(self.plan.containers))]
            try:
                containers += replica.prepare(models, outcomes.add, failed)
            except OSError as error:
                shutil.rmtree(place.folder, ignore_errors=True)
                raise self._unwritten(error) from error
            with self._lock:
                if self._stopped:
                    raise DeploymentFailed("The endpoint was stopped while it was being created.")
                self._replicas += (replica,)
                replica.start()
        return containers

    def shrink(self, replicas: list[Replica], drain_seconds: float, grace_seconds: float) -> None:
        """Take these instances away: they get no more invocations, and end when they have answered those they have."""
        with self._lock:
            self._replicas = tuple(r for r in self._replicas if r not in replicas)
        end([lambda r=r: (r.in_flight.drain(drain_seconds), r.stop(grace_seconds)) for r in replicas])  # type: ignore[misc]

    def last(self, count: int) -> list[Replica]:
        """So many of its instances, the latest."""
        return list(self._replicas[len(self._replicas) - count :])

    def next(self, choice: float, model: str | None, more: Callable[[Replica, tuple[Hop, ...]], Target]) -> Target:
        """The instance for the next invocation, counted as under way there; `more` makes its target.

        One that has the model loaded is preferred; else the variant's RoutingConfig decides. Raises NoneHealthy.
        """
        with self._lock:  # an instance that is taken away waits for those that were counted before
            self._turn += 1
            healthy = [(r, hops) for r in self._replicas if (hops := r.hops()) is not None]
            if not healthy:
                raise NoneHealthy(Target(self._endpoint, self.plan.name, self._nowhere()))
            if model is not None:
                healthy = [h for h in healthy if h[0].models is not None and h[0].models.has(model)] or healthy
            return more(*healthy[self._pick([replica for replica, _ in healthy], choice)])

    def _nowhere(self) -> tuple[Hop, ...]:
        """The containers of an instance that is not healthy, or of none when there is none."""
        if self._replicas:
            return self._replicas[0].nowhere()
        group = endpoint_log_group(self._endpoint)
        return tuple(Hop(name, "", group, self.plan.name) for name in self.plan.container_names)

    def _pick(self, replicas: list[Replica], choice: float) -> int:
        strategy = self.plan.config.get("RoutingConfig", {}).get("RoutingStrategy")
        if strategy == "LEAST_OUTSTANDING_REQUESTS":
            return min(range(len(replicas)), key=lambda n: replicas[n].in_flight.count)
        return (int(choice * len(replicas)) if strategy == "RANDOM" else self._turn) % len(replicas)

    def drain(self, seconds: float) -> None:
        """Wait, at most that long, for the invocations that are under way."""
        end([lambda r=r: r.in_flight.drain(seconds) for r in self._replicas])  # type: ignore[misc]

    def stop(self, grace_seconds: float) -> None:
        """End all instances and remove their files."""
        with self._lock:
            self._stopped = True
            replicas = self._replicas
        end([lambda r=r: r.stop(grace_seconds) for r in replicas])  # type: ignore[misc]
        shutil.rmtree(self._folder, ignore_errors=True)

    def _unwritten(self, error: OSError) -> DeploymentFailed:
        return DeploymentFailed(f"The model of production variant {self.plan.name} cannot be stored here: {error}")

    def _model(self, number: int) -> Path:
        return self._folder / "models" / str(number)


def end(calls: list[Callable[[], object]]) -> None:
    """Make the calls at the same time; returns when all are done."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
