"""Between TensorProto messages and arrays; needs TensorFlow, which is imported by who calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model_server.errors import BadInputError
from model_server.signatures import Signature

Array = npt.NDArray[Any]

# The field that holds values of a dtype (tensor.proto), where one is an element of it.
_FIELDS = {
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}


def arrays(protos: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """The inputs of a signature. Raises BadInputError, in the words of TensorFlow Serving's predict_util.cc."""
    import tensorflow as tf

    _check_names(protos, signature)
    inputs = {}
    for name, tensor in signature.inputs.items():
        proto = protos[name]
        try:
            dtype = tf.dtypes.as_dtype(proto.dtype).name
            array = tf.make_ndarray(proto)
        except (TypeError, ValueError) as error:
            raise BadInputError(f"tensor parsing error: {name}: {error}") from error
        if dtype != tensor.dtype:
            raise BadInputError(f"The input {tensor} is expected to be {tensor.dtype} but {dtype} is provided")
        inputs[name] = array
    return inputs


def fill(proto: Any, array: Array) -> None:
    """Write an output as TensorFlow Serving does: values in the field of their type, which clients read by name."""
    import tensorflow as tf

    array = np.asarray(array)
    field = _FIELDS.get(array.dtype.name)
    if field is None:  # bfloat16 and complex numbers, which TensorFlow writes into their fields itself
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    proto.tensor_shape.SetInParent()  # a scalar has one without dimensions
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.view(np.uint16) if field == "half_val" else array  # their bits
    getattr(proto, field).extend(values.ravel().tolist())


def _check_names(protos: Mapping[str, Any], signature: Signature) -> None:
    sent, known = sorted(protos), sorted(signature.inputs)
    if len(sent) != len(known):
        extra, missing = sorted({*sent} - {*known}), sorted({*known} - {*sent})
        raise BadInputError(
            f"input size does not match signature: {len(sent)}!={len(known)} len({{{','.join(sent)}}}) != "
            f"len({{{','.join(known)}}}). Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    for name in sent:
        if name not in signature.inputs:
            raise BadInputError(
                f"input tensor alias not found in signature: {name}. Inputs expected to be in the set "
                f"{{{','.join(known)}}}."
            )
