"""TensorFlow Serving's methods classify and regress: tf.Examples in, `{"results": …}` out.

The rules and messages are those of its classifier.cc and regressor.cc. As with its model server's default
--enable_signature_method_name_check=false, a signature is judged by the names of its tensors, not by its method_name:
what TensorFlow 2 exports always says predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model_server import answers, examples
from model_server.errors import BadInputError
from model_server.prediction import Servable, signature_name
from model_server.signatures import Signature

Array = npt.NDArray[Any]

# tf.compat.v1.saved_model.signature_constants
_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"


def classify(servable: Servable, request: Mapping[str, Any]) -> bytes:
    """`{"results": [[[label, score], …], …]}`: a list an example, a pair a class.

    Raises BadInputError and PredictionError.
    """
    rows = examples.read(request)
    return answers.classifications(*classified(servable, signature_name(request), examples.serialized(rows)))


def classified(servable: Servable, name: str, serialized: Array) -> tuple[Array, Array]:
    """Labels (bytes) and scores (float32) of serialized tf.Examples, each of shape [examples, classes].

    Without an output `classes` the labels are "", without `scores` the scores are 0.0: what the response's proto says.
    Raises BadInputError and PredictionError.
    """
    signature = _signature(servable, name, "classification")
    if len(signature.outputs) not in (1, 2):
        raise BadInputError(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if not {_CLASSES, _SCORES} & signature.outputs.keys():
        raise BadInputError(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature '{signature.name}' has: {_names(signature.outputs)}"
        )
    outputs = servable.run(signature.name, {_INPUTS: serialized})
    classes = _column(outputs, _CLASSES, "O", "DT_STRING", len(serialized))
    scores = _column(outputs, _SCORES, "f4", "DT_FLOAT", len(serialized))
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise BadInputError(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    shape = (classes if classes is not None else scores).shape  # type: ignore[union-attr]
    return (
        np.full(shape, b"", dtype=object) if classes is None else classes,
        np.zeros(shape, dtype=np.float32) if scores is None else scores,
    )


def regress(servable: Servable, request: Mapping[str, Any]) -> bytes:
    """`{"results": [value, …]}`, a value an example. Raises BadInputError and PredictionError."""
    rows = examples.read(request)
    return answers.regressions(regressed(servable, signature_name(request), examples.serialized(rows)))


def regressed(servable: Servable, name: str, serialized: Array) -> Array:
    """The values (float32) of serialized tf.Examples, shape [examples]. Raises BadInputError and PredictionError."""
    signature = _signature(servable, name, "regression")
    if len(signature.outputs) != 1:
        raise BadInputError(f"Expected one output Tensor, found: {_names(signature.outputs)}")
    if _OUTPUTS not in signature.outputs:
        raise BadInputError(
            f"No regression outputs found in SignatureDef: the output of '{signature.name}' is called "
            f"{_names(signature.outputs)}, not {_OUTPUTS}"
        )
    values = servable.run(signature.name, {_INPUTS: serialized})[_OUTPUTS]
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)):
        raise BadInputError(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(values.shape)}"
        )
    if len(values) != len(serialized):
        raise BadInputError(f"Input batch size did not match output batch size: {len(serialized)} vs. {len(values)}")
    if values.dtype != np.float32:
        raise BadInputError(f"Expected output Tensor of DT_FLOAT.  Got: {values.dtype.name}")
    return values.reshape(-1)


def _signature(servable: Servable, name: str, kind: str) -> Signature:
    signature = servable.signatures.get(name)
    if signature is None:
        raise BadInputError(
            f"No signature was found with the name: {name} (the model has: {_names(servable.signatures)})"
        )
    if len(signature.inputs) != 1:
        raise BadInputError(f"Expected one input Tensor, but '{name}' has: {_names(signature.inputs)}")
    tensor = signature.inputs.get(_INPUTS)
    if tensor is None:
        raise BadInputError(
            f"No {kind} inputs found in SignatureDef: the input of '{name}' is called {_names(signature.inputs)}, "
            f"not {_INPUTS}"
        )
    if tensor.dtype != "string":
        raise BadInputError(f"The input {tensor} of '{name}' does not take serialized tf.Examples (string)")
    return signature


def _column(outputs: Mapping[str, Array], name: str, dtype: str, wanted: str, rows: int) -> Array | None:
    array = outputs.get(name)
    if array is None:
        return None
    if array.ndim != 2:
        raise BadInputError(f"Expected Tensor shape: [batch_size num_classes] but {name} is {list(array.shape)}")
    if array.dtype != np.dtype(dtype):
        raise BadInputError(f"Expected {name} Tensor of {wanted}. Got: {array.dtype.name}")
    if len(array) != rows:
        raise BadInputError(f"Expected {name} output batch size of {rows}. Got: {len(array)}")
    return array


def _names(named: Mapping[str, Any]) -> str:
    return ", ".join(sorted(named)) or "none"
