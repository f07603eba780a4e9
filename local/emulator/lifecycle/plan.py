"""What an endpoint is to run: its configuration and models, copied, as records and as the store's documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Definition = Mapping[str, Any]  # AWS-cased: a ContainerDefinition, or an element of ProductionVariants


@dataclass(frozen=True)
class VariantPlan:
    """A production variant."""

    config: Definition  # the element of the endpoint configuration's ProductionVariants
    containers: tuple[Definition, ...]
    direct: bool  # InferenceExecutionConfig.Mode of the model is Direct, not Serial
    weight: float  # what is desired by now
    count: int

    @property
    def name(self) -> str:
        """VariantName."""
        name: str = self.config["VariantName"]
        return name

    @property
    def serverless(self) -> bool:
        """Whether it has a ServerlessConfig: then one instance stands for all that AWS would run."""
        return "ServerlessConfig" in self.config

    @property
    def container_names(self) -> list[str]:
        """What AWS calls the containers in messages and log streams."""
        # "If you don't specify a name, the default is container-1, container-2, and so on": the developer guide's
        # "Inference Pipeline Logs and Metrics".
        if len(self.containers) == 1:
            return ["primary"]
        return [c.get("ContainerHostname") or f"container-{n}" for n, c in enumerate(self.containers, 1)]


@dataclass(frozen=True)
class Plan:
    """All of it."""

    config_name: str
    variants: tuple[VariantPlan, ...]
    capture: Mapping[str, Any] | None = None  # DataCaptureConfig
    async_config: Mapping[str, Any] | None = None  # AsyncInferenceConfig

    @classmethod
    def of(cls, config_name: str, config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> Plan:
        """From the documents of an endpoint configuration and of its models by name."""
        variants = []
        for variant in config["ProductionVariants"]:
            model = models[variant["ModelName"]]
            containers = [model["PrimaryContainer"]] if "PrimaryContainer" in model else model["Containers"]
            variants.append(
                VariantPlan(
                    variant,
                    tuple(containers),
                    direct=model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct",
                    weight=float(variant.get("InitialVariantWeight", 1.0)),
                    count=int(variant.get("InitialInstanceCount", 1)),
                )
            )
        return cls(config_name, tuple(variants), config.get("DataCaptureConfig"), config.get("AsyncInferenceConfig"))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Plan:
        """What `document` wrote."""
        variants = [
            VariantPlan(v["Config"], tuple(v["Containers"]), v["Direct"], v["Weight"], v["Count"])
            for v in document["Variants"]
        ]
        return cls(document["ConfigName"], tuple(variants), document["Capture"], document["Async"])

    def document(self) -> dict[str, Any]:
        """For the store."""
        return {
            "ConfigName": self.config_name,
            "Variants": [
                {
                    "Config": v.config,
                    "Containers": list(v.containers),
                    "Direct": v.direct,
                    "Weight": v.weight,
                    "Count": v.count,
                }
                for v in self.variants
            ],
            "Capture": self.capture,
            "Async": self.async_config,
        }

    def retaining(self, other: Plan, exclude: Sequence[str]) -> Plan:
        """With the other's properties, RetainAllVariantProperties of UpdateEndpoint, except those of these names."""
        old = {v.name: v for v in other.variants}

        def retained(variant: VariantPlan) -> VariantPlan:
            before = old.get(variant.name)
            if before is None:
                return variant
            return replace(
                variant,
                weight=variant.weight if "DesiredWeight" in exclude else before.weight,
                count=variant.count
                if "DesiredInstanceCount" in exclude or variant.serverless or before.serverless
                else before.count,
            )

        capture = self.capture if "DataCaptureConfig" in exclude else other.capture
        return replace(self, variants=tuple(retained(v) for v in self.variants), capture=capture)

    def with_desired(self, weights: Mapping[str, float], counts: Mapping[str, int]) -> Plan:
        """With these weights and instance counts of the variants that are named."""
        return replace(
            self,
            variants=tuple(
                replace(v, weight=weights.get(v.name, v.weight), count=counts.get(v.name, v.count))
                for v in self.variants
            ),
        )
