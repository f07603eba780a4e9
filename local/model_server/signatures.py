"""A SavedModel's signatures as plain records, so that requests can be checked without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT = "serving_default"


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature."""

    name: str  # the signature's name for it, not the graph's
    dtype: str  # TensorFlow's name: float32, int64, string, bool, …
    shape: tuple[int | None, ...] | None  # None: any rank; a None in it: any size

    def __str__(self) -> str:
        sizes = "any" if self.shape is None else f"[{', '.join(str(size) for size in self.shape)}]"
        return f"'{self.name}' ({self.dtype}, shape {sizes})"


@dataclass(frozen=True)
class Signature:
    """What a model can be asked for, by name."""

    name: str
    method_name: str  # tensorflow/serving/predict, …/classify or …/regress
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
