"""What an endpoint runs: its production variants, started together, and which of them answers next."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from emulator.lifecycle.container_http import ContainerHttp
from emulator.lifecycle.plan import Plan
from emulator.lifecycle.ports import Services
from emulator.lifecycle.replica import Replica
from emulator.lifecycle.target import Hop, NoneHealthy, Target
from emulator.lifecycle.variant import DeploymentFailed, Outcomes, Variant, end

__all__ = ["Deployment", "DeploymentFailed"]


class Deployment:
    """The instances of one plan. `start` once, then `target` from any thread, then `stop` once."""

    def __init__(self, services: Services, http: ContainerHttp, endpoint: str, plan: Plan) -> None:
        self._endpoint = endpoint
        self.plan = plan
        # A folder of its own: while an endpoint is updated there are two.
        self._folder = services.work_dir / f"endpoint-{endpoint}" / uuid.uuid4().hex[:8]
        self._variants = {
            v.name: Variant(services, http, endpoint, v, self._folder / f"variant-{v.name}") for v in plan.variants
        }

    def start(self, failed: Callable[[str], None]) -> None:
        """Start everything and return when all of it is healthy. Raises DeploymentFailed.

        `failed` is called from another thread when a container dies later and does not come back.
        """
        outcomes = Outcomes()

        def lost(reason: str) -> None:
            outcomes.add(reason)  # where the others are still being waited for
            failed(reason)

        count = 0
        for variant in self._variants.values():
            variant.fetch()
        for variant in self._variants.values():
            count += variant.grow(variant.plan.count, outcomes, lost)
        outcomes.wait(count)

    def weights(self) -> dict[str, float]:
        """Each variant's."""
        return {name: variant.weight for name, variant in self._variants.items()}

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Give the named variants these weights, for the next invocation on."""
        for name, weight in weights.items():
            self._variants[name].weight = weight

    def scale(
        self, counts: Mapping[str, int], failed: Callable[[str], None], drain_seconds: float, grace_seconds: float
    ) -> None:
        """Bring the named variants to so many instances. Raises DeploymentFailed, with everything as it was before."""
        outcomes = Outcomes()
        before = self.sizes()
        containers = 0
        try:
            for name, count in counts.items():
                variant = self._variants[name]
                containers += variant.grow(max(0, count - variant.size), outcomes, failed)
            outcomes.wait(containers)
        except DeploymentFailed:
            for name in counts:
                variant = self._variants[name]
                variant.shrink(variant.last(variant.size - before[name]), 0, grace_seconds)
            raise
        for name, count in counts.items():
            variant = self._variants[name]
            variant.shrink(variant.last(max(0, variant.size - count)), drain_seconds, grace_seconds)

    def sizes(self) -> dict[str, int]:
        """How many instances each variant has."""
        return {name: variant.size for name, variant in self._variants.items()}

    def drain(self, seconds: float) -> None:
        """Wait, at most that long, for the invocations that are under way."""
        end([lambda v=v: v.drain(seconds) for v in self._variants.values()])  # type: ignore[misc]

    def stop(self, grace_seconds: float) -> None:
        """End all containers and remove their files. Idempotent."""
        end([lambda v=v: v.stop(grace_seconds) for v in self._variants.values()])  # type: ignore[misc]
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):  # another deployment's is beside it
            self._folder.parent.rmdir()

    def target(self, variant: str | None, choice: float, model: str | None = None) -> Target:
        """A healthy instance: of the named variant, or of the one that `choice` (0 <= x < 1) hits by weight.

        Raises KeyError when there is no such variant, NoneHealthy when none of its instances is healthy.
        """
        chosen, rest = self._by_weight(choice) if variant is None else (self._variants[variant], choice)

        def more(replica: Replica, hops: tuple[Hop, ...]) -> Target:
            return Target(
                self._endpoint,
                chosen.plan.name,
                hops,
                capture=self.plan.capture,
                async_config=self.plan.async_config,
                multi_model=replica.models.prefix if replica.models else None,
                direct=chosen.plan.direct,
                instance=replica.instance,
                models=replica.models,
                lease=replica.in_flight.begin(),
            )

        try:
            return chosen.next(rest, model, more)
        except NoneHealthy as error:  # an asynchronous endpoint takes requests all the same
            raise NoneHealthy(replace(error.target, async_config=self.plan.async_config)) from None

    def _by_weight(self, choice: float) -> tuple[Variant, float]:
        """The variant, and where within its share the choice is (0 <= x < 1)."""
        variants = list(self._variants.values())
        position = choice * sum(v.weight for v in variants)
        for variant in variants:
            if position < variant.weight:
                return variant, position / variant.weight
            position -= variant.weight
        return variants[0], choice  # all weights are 0
