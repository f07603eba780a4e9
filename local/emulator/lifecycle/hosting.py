"""All endpoints: brings them into service, updates and deletes them, routes invocations, brings them back."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from emulator.lifecycle import endpoint_record as record
from emulator.lifecycle.container_http import ContainerHttp, ModelServer
from emulator.lifecycle.deployment import Deployment, DeploymentFailed
from emulator.lifecycle.endpoint_record import CREATING, DELETING, FAILED, IN_PROGRESS, UPDATING, Desired, Update
from emulator.lifecycle.model_cache import model_name
from emulator.lifecycle.model_client import ModelClient
from emulator.lifecycle.plan import Plan
from emulator.lifecycle.ports import Services
from emulator.lifecycle.serving import Health
from emulator.lifecycle.target import ModelNotLoaded, Target
from emulator.lifecycle.variant import end
from emulator.store.port import Change, Changed, Kind, Listing, NotFound, Resource, update

DRAIN_SECONDS = 60.0  # for invocations under way when their instance is taken away: as long as one may take
RETURN_SECONDS = 30.0  # how long an invocation waits for an endpoint that comes back after a start of the emulator
_EVERY = 2**31


class Endpoints:
    """Owns every transition of every endpoint; a thread an endpoint while it is in one."""

    def __init__(
        self,
        services: Services,
        health: Health,
        choose: Callable[[], float] = random.random,
        models: ModelServer | None = None,
    ) -> None:
        self._services = services
        self._http = ContainerHttp(health, models or ModelClient())
        self._choose = choose  # 0 <= x < 1: picks the variant of an invocation
        self._serving: dict[str, Deployment] = {}
        self._running: dict[Deployment, str] = {}  # also what is being started and what is being drained
        self._returning: set[str] = set()
        self._changed = threading.Condition()  # guards all of these
        self._closing = False

    def start(self, name: str) -> None:
        """Bring the endpoint of that name, which has just been stored, into service."""
        self._in_thread("create", name, self._create)

    def update(self, name: str, what: Update) -> None:
        """Turn it Updating; the new deployment replaces the old one when it is ready.

        Raises NotFound, and what `endpoint_record.updating` raises.
        """
        self._change(name, lambda endpoint: record.updating(endpoint, what, self._now()))
        self._in_thread("update", name, self._update)

    def rescale(self, name: str, desired: Desired) -> None:
        """Turn it Updating; the weights count at once, instances come and go.

        Raises NotFound, and what `endpoint_record.rescaling` raises.
        """
        self._change(name, lambda endpoint: record.rescaling(endpoint, desired, self._now()))
        self._in_thread("rescale", name, lambda name: self._rescale(name, desired))

    def delete(self, name: str) -> None:
        """Turn it Deleting and remove it soon. Raises NotFound or InProgress."""

        def decide(endpoint: Resource) -> Change:
            if endpoint.status in IN_PROGRESS:
                raise record.InProgress(name)
            return Change(self._now(), DELETING)

        self._change(name, decide)
        with self._changed:
            self._serving.pop(name, None)
        self._in_thread("delete", name, self._delete)

    def target(self, name: str, variant: str | None, model: str | None = None) -> Target:
        """The instance that answers the next invocation: of that variant, or by the variants' weights.

        `model` is the request's TargetModel: an instance that has it loaded is preferred. The target must be released.
        Raises NotFound when the endpoint is not in service, KeyError when it has no such variant, and
        `target.NoneHealthy` when no instance of the variant is healthy at the moment.
        """
        with self._changed:  # whoever replaces a deployment waits for those that got a target of it before
            if name not in self._serving and name in self._returning:
                self._changed.wait_for(lambda: name in self._serving or name not in self._returning, RETURN_SECONDS)
            deployment = self._serving.get(name)
            if deployment is None:
                raise NotFound(name)
            return deployment.target(variant, self._choose(), model)

    def load_model(self, target: Target, target_model: str) -> None:
        """Have the model at the target's instance: fetched, and loaded into its container, until it is released.

        Raises ModelNotLoaded.
        """
        if target.models is None:
            raise ModelNotLoaded(f"{target.endpoint} is not a multi-model endpoint: it has no {target_model}.")
        target.models.load(target_model, target.lease)

    def model_name(self, target_model: str) -> str:
        """What the containers of multi-model endpoints know the model by, a hash: POST /models/HASH/invoke."""
        return model_name(target_model)

    def settle(self) -> None:
        """To be called once, before anything starts: endpoints of an earlier emulator have no containers any more.

        They come back by themselves, each in a thread of its own; S3 must hold their models again.
        """
        for endpoint in self._services.store.list(Kind.ENDPOINT, Listing(limit=_EVERY)):
            if endpoint.status == DELETING:
                self._services.store.delete(endpoint)
            elif endpoint.status != FAILED:
                self._change(endpoint.name, lambda e: record.returning(e, self._now()))
                if endpoint.status != CREATING:
                    self._returning.add(endpoint.name)
                self._in_thread("bring back", endpoint.name, self._bring_back)

    def stopping(self) -> None:
        """The emulator is about to end: what fails from now on fails of that, and is nothing to be remembered."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def shut_down(self, seconds: float) -> None:
        """End every container, and wait at most that long for all of them; the endpoints stay stored, to come back."""
        self.stopping()
        with self._changed:
            running = list(self._running)
        grace = self._services.shutdown_grace_seconds
        threads = [threading.Thread(target=d.stop, args=(grace,), daemon=True) for d in running]
        for thread in threads:
            thread.start()
        deadline = self._services.clock.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - self._services.clock.monotonic()))

    def _create(self, name: str) -> None:
        reason = self._deploy(name, record.plan_of(self._services.store.get(Kind.ENDPOINT, name)))
        if reason is not None:
            self._fail(name, reason)

    def _update(self, name: str) -> None:
        with self._changed:
            old = self._serving.get(name)
        pending = record.pending_of(self._services.store.get(Kind.ENDPOINT, name))
        assert pending is not None  # noqa: S101 - `update` has just put it there
        reason = self._deploy(name, pending)
        if reason is not None:
            self._give_up_update(name, reason)
        elif old is not None:
            old.drain(DRAIN_SECONDS)
            self._end(old)

    def _rescale(self, name: str, desired: Desired) -> None:
        with self._changed:
            deployment = self._serving.get(name)
        if deployment is None:
            self._give_up_update(name, "No container of the endpoint runs any more.")
            return
        before = deployment.weights()
        deployment.weigh(desired.weights)
        try:
            deployment.scale(
                desired.counts, self._failed(name, deployment), DRAIN_SECONDS, self._services.serving_grace_seconds
            )
        except DeploymentFailed as error:
            deployment.weigh(before)
            self._give_up_update(name, str(error))
            return
        with self._changed:
            lost = self._serving.get(name) is not deployment
        if lost:
            self._give_up_update(name, "The containers of the endpoint ended while it was updated.")
        else:
            self._change(name, lambda e: record.in_service(e, deployment.sizes(), self._now()))

    def _bring_back(self, name: str) -> None:
        endpoint = self._services.store.get(Kind.ENDPOINT, name)
        pending = record.pending_of(endpoint)
        try:
            if pending is None:
                self._create(name)
                return
            # What served before the update serves during it; where it cannot, the update may still mend that.
            with suppress(DeploymentFailed):
                self._serve(name, self._start(name, record.plan_of(endpoint)))
            self._update(name)
        finally:
            with self._changed:
                self._returning.discard(name)
                self._changed.notify_all()

    def _deploy(self, name: str, plan: Plan) -> str | None:
        """Start it, have it serve, and say so; or why it cannot be started."""
        try:
            deployment = self._start(name, plan)
        except DeploymentFailed as error:
            return str(error)
        self._serve(name, deployment)
        self._change(name, lambda e: record.in_service(e, deployment.sizes(), self._now()))
        return None

    def _start(self, name: str, plan: Plan) -> Deployment:
        """A deployment, ready. Raises DeploymentFailed, when nothing is left of it."""
        deployment = Deployment(self._services, self._http, name, plan)
        with self._changed:
            if self._closing:
                raise DeploymentFailed("The emulator ends.")
            self._running[deployment] = name
        try:
            deployment.start(self._failed(name, deployment))
        except BaseException:
            self._end(deployment)
            raise
        return deployment

    def _serve(self, name: str, deployment: Deployment) -> None:
        with self._changed:
            self._serving[name] = deployment
            self._changed.notify_all()

    def _failed(self, name: str, deployment: Deployment) -> Callable[[str], None]:
        """What is called when a container of the deployment has died for good."""

        def give_up(reason: str) -> None:
            with self._changed:
                if self._serving.get(name) is not deployment:
                    return  # it is being started or ended, and whoever does that sees to it
                del self._serving[name]
            # At once, before containers are ended, which takes time: an update may come, and serve, meanwhile.
            self._fail(name, reason, unless=UPDATING)
            self._end(deployment)

        return lambda reason: self._in_thread("fail", name, lambda _: give_up(reason))

    def _give_up_update(self, name: str, reason: str) -> None:
        with self._changed:
            serving = self._serving.get(name)
        if serving is None:
            self._fail(name, reason)
        elif not self._closing:
            self._change(name, lambda e: record.given_up(e, serving.sizes(), reason, self._now()))

    def _delete(self, name: str) -> None:
        with self._changed:
            running = [deployment for deployment, owner in self._running.items() if owner == name]
        try:
            end([lambda d=d: self._end(d) for d in running])  # type: ignore[misc]
        finally:
            self._remove(name)

    def _end(self, deployment: Deployment) -> None:
        deployment.stop(self._services.serving_grace_seconds)
        with self._changed:
            self._running.pop(deployment, None)

    def _remove(self, name: str) -> None:
        while True:
            try:
                self._services.store.delete(self._services.store.get(Kind.ENDPOINT, name))
                return
            except Changed:
                continue
            except NotFound:
                return

    def _fail(self, name: str, reason: str, unless: str = "") -> None:
        """Turn it Failed, unless it has that status: an update that goes on may mend it."""
        if not self._closing:
            with suppress(NotFound):  # deleted meanwhile
                self._change(name, lambda e: None if e.status == unless else record.failed(e, reason, self._now()))

    def _change(self, name: str, decide: Callable[[Resource], Change | None]) -> None:
        update(self._services.store, Kind.ENDPOINT, name, decide)

    def _now(self) -> datetime:
        return self._services.clock.now()

    def _in_thread(self, verb: str, name: str, body: Callable[[str], None]) -> None:
        def guarded() -> None:
            try:
                body(name)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave an endpoint in between
                self._give_up_update(name, f"InternalServerError: {verb}: {type(error).__name__}: {error}")

        threading.Thread(target=guarded, name=f"{verb} endpoint {name}", daemon=True).start()
