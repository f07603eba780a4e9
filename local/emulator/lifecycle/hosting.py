"""All endpoints: brings them into service, routes invocations, deletes them, and settles what was left unfinished."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from emulator.lifecycle.deployment import Deployment, DeploymentFailed
from emulator.lifecycle.ports import Services
from emulator.lifecycle.serving import Health
from emulator.lifecycle.target import ModelNotLoaded, Target
from emulator.store.port import Change, Changed, Kind, Listing, NotFound, Resource, update

CREATING, IN_SERVICE, FAILED, DELETING = "Creating", "InService", "Failed", "Deleting"
LOST = "The emulator ended, and the endpoint's containers with it. Delete the endpoint and create it again."
FAILURE_REASON_LIMIT = 1024
_EVERY = 2**31


class InProgress(Exception):
    """The endpoint is Creating, Updating or Deleting: it cannot be deleted now."""


class Endpoints:
    """Owns every transition of every endpoint; a thread an endpoint while it is made or removed."""

    def __init__(self, services: Services, health: Health, choose: Callable[[], float] = random.random) -> None:
        self._services = services
        self._health = health
        self._choose = choose  # 0 <= x < 1: picks the variant of an invocation
        self._deployments: dict[str, Deployment] = {}
        self._lock = threading.Lock()
        self._closing = False

    def start(self, name: str) -> None:
        """Bring the endpoint of that name, which has just been stored, into service."""
        self._in_thread("create", name, self._create)

    def delete(self, name: str) -> None:
        """Turn it Deleting and remove it soon. Raises NotFound or InProgress."""

        def decide(endpoint: Resource) -> Change:
            if endpoint.status not in {IN_SERVICE, FAILED}:
                raise InProgress(name)
            return Change(self._services.clock.now(), DELETING)

        update(self._services.store, Kind.ENDPOINT, name, decide)
        self._in_thread("delete", name, self._delete)

    def target(self, name: str, variant: str | None, model: str | None = None) -> Target:
        """The instance that answers the next invocation: of that variant, or by the variants' weights.

        `model` is the request's TargetModel: an instance that has it loaded is preferred. The target must be released.
        Raises NotFound when the endpoint is not in service, KeyError when it has no such variant, and
        `target.NoneHealthy` when no instance of the variant is healthy at the moment.
        """
        with self._lock:
            deployment = self._deployments.get(name)
        if deployment is None or self._services.store.get(Kind.ENDPOINT, name).status != IN_SERVICE:
            raise NotFound(name)
        return deployment.target(variant, self._choose())

    def load_model(self, target: Target, target_model: str) -> None:
        """Have the model at the target's instance: fetched, and loaded into its container.

        Raises ModelNotLoaded.
        """
        raise ModelNotLoaded(f"{target.endpoint} is not a multi-model endpoint: it has no {target_model}.")

    def model_name(self, target_model: str) -> str:
        """What the containers of multi-model endpoints know the model by, a hash: POST /models/HASH/invoke."""
        return hashlib.sha256(target_model.encode()).hexdigest()[:32]

    def settle(self) -> None:
        """To be called once, before anything starts: endpoints of an earlier emulator have no containers any more."""
        for endpoint in self._services.store.list(Kind.ENDPOINT, Listing(limit=_EVERY)):
            if endpoint.status == DELETING:
                self._services.store.delete(endpoint)
            elif endpoint.status != FAILED:
                self._fail(endpoint.name, LOST)

    def shut_down(self, seconds: float) -> None:
        """End every container, and wait at most that long for all of them."""
        with self._lock:
            self._closing = True
            deployments = dict(self._deployments)
        threads = [
            threading.Thread(target=self._end, args=(name, deployment), daemon=True)
            for name, deployment in deployments.items()
        ]
        for thread in threads:
            thread.start()
        deadline = self._services.clock.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - self._services.clock.monotonic()))

    def _create(self, name: str) -> None:
        endpoint = self._services.store.get(Kind.ENDPOINT, name)
        deployment = Deployment(self._services, self._health, endpoint)
        with self._lock:
            if not self._closing:
                self._deployments[name] = deployment
        if self._closing:
            self._fail(name, LOST)
            return
        try:
            deployment.start(failed=lambda reason: self._in_thread("fail", name, lambda n: self._give_up(n, reason)))
        except DeploymentFailed as error:
            self._give_up(name, str(error))
            return

        def decide(current: Resource) -> Change | None:
            if current.status != CREATING:
                return None
            return Change(self._services.clock.now(), IN_SERVICE, {"ProductionVariants": deployment.summaries()})

        update(self._services.store, Kind.ENDPOINT, name, decide)

    def _give_up(self, name: str, reason: str) -> None:
        with self._lock:
            deployment = self._deployments.pop(name, None)
        if deployment is not None:
            deployment.stop(self._services.serving_grace_seconds)
        self._fail(name, reason)

    def _delete(self, name: str) -> None:
        with self._lock:
            deployment = self._deployments.pop(name, None)
        try:
            if deployment is not None:
                deployment.stop(self._services.serving_grace_seconds)
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        while True:
            try:
                self._services.store.delete(self._services.store.get(Kind.ENDPOINT, name))
                return
            except Changed:
                continue
            except NotFound:
                return

    def _end(self, name: str, deployment: Deployment) -> None:
        deployment.stop(self._services.shutdown_grace_seconds)
        self._fail(name, LOST)

    def _fail(self, name: str, reason: str) -> None:
        def decide(endpoint: Resource) -> Change | None:
            if endpoint.status in {FAILED, DELETING}:
                return None
            variants = [
                {**variant, "CurrentInstanceCount": 0} for variant in endpoint.document.get("ProductionVariants", ())
            ]
            document: Mapping[str, Any] = {
                "FailureReason": reason[:FAILURE_REASON_LIMIT],
                "ProductionVariants": variants,
            }
            return Change(self._services.clock.now(), FAILED, document)

        with suppress(NotFound):  # deleted meanwhile
            update(self._services.store, Kind.ENDPOINT, name, decide)

    def _in_thread(self, verb: str, name: str, body: Callable[[str], None]) -> None:
        def guarded() -> None:
            try:
                body(name)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave an endpoint in between
                self._give_up(name, f"InternalServerError: {verb}: {type(error).__name__}: {error}")

        threading.Thread(target=guarded, name=f"{verb} endpoint {name}", daemon=True).start()
