"""TensorFlow Serving's PredictionService and ModelService, over the models of a catalogue.

Rules and words are those of its predict_util.cc, get_model_metadata_impl.cc and get_model_status_impl.cc.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from model_server import tensor_protos
from model_server.catalogue import Catalogue, Choice, LoadedModel
from model_server.errors import BadInputError, RequestError
from model_server.example_methods import classified, regressed
from model_server.signatures import DEFAULT, Signature

Use = Callable[[str], AbstractContextManager[Catalogue]]

_LONGEST = 1024  # characters of a status's message
_SIGNATURES = "signature_def"  # the one field of metadata that there is
# The way back of tensorflow_session's table; what is not in it is INTERNAL.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_log = logging.getLogger(__name__)


def add(server: Any, use: Use) -> None:
    """Let a grpc.Server answer for the models that `use` gives by name; it raises RequestError for unknown ones."""
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(use), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(use), server)


class _Service:
    """What the services have in common."""

    def __init__(self, use: Use) -> None:
        self._use = use

    @contextmanager
    def _model(self, specification: Any, context: Any) -> Iterator[tuple[LoadedModel, int]]:
        """The servable that a ModelSpec means, and its version; what goes wrong in the block becomes a gRPC status."""
        with _status(context), self._use(_name(specification)) as catalogue:
            _, version, servable = catalogue.find(Choice(specification.name, _version(specification)))
            yield servable, version


class _PredictionService(_Service):
    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own names, here and below
        from tensorflow_serving.apis import predict_pb2

        response = predict_pb2.PredictResponse()
        with self._model(request.model_spec, context) as (servable, version):
            name = request.model_spec.signature_name or DEFAULT
            signature = servable.signatures.get(name)
            if signature is None:
                raise BadInputError(f'Serving signature key "{name}" not found.')
            inputs = tensor_protos.arrays(request.inputs, signature)
            wanted = _wanted(request.output_filter, signature)
            outputs = servable.run(name, inputs)
            for output in wanted:
                tensor_protos.fill(response.outputs[output], outputs[output])
            _answer_for(request.model_spec, response.model_spec, version, name)
        return response

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        from tensorflow_serving.apis import classification_pb2

        response = classification_pb2.ClassificationResponse()
        with self._model(request.model_spec, context) as (servable, version):
            name = request.model_spec.signature_name or DEFAULT
            for labels, scores in zip(*classified(servable, name, _examples(request.input)), strict=True):
                classes = response.result.classifications.add().classes
                for label, score in zip(labels, scores, strict=True):
                    classes.add(label=label.decode(errors="replace"), score=score)
            _answer_for(request.model_spec, response.model_spec, version, name)
        return response

    def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        from tensorflow_serving.apis import regression_pb2

        response = regression_pb2.RegressionResponse()
        with self._model(request.model_spec, context) as (servable, version):
            name = request.model_spec.signature_name or DEFAULT
            for value in regressed(servable, name, _examples(request.input)):
                response.result.regressions.add(value=value)
            _answer_for(request.model_spec, response.model_spec, version, name)
        return response

    def MultiInference(self, _request: Any, context: Any) -> Any:  # noqa: N802
        with _status(context):
            raise _NotHereError("MultiInference is not here: call Classify and Regress one by one")

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2

        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._model(request.model_spec, context) as (servable, version):
            if not request.metadata_field:
                raise BadInputError("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != _SIGNATURES:
                    raise BadInputError(f"Metadata field {field} is not supported")
            definitions = get_model_metadata_pb2.SignatureDefMap()
            json_format.ParseDict({_SIGNATURES: servable.definitions()}, definitions)
            response.metadata[_SIGNATURES].Pack(definitions)
            _answer_for(request.model_spec, response.model_spec, version, "")
        return response


class _ModelService(_Service):
    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse()
        specification = request.model_spec
        with _status(context), self._use(_name(specification)) as catalogue:
            json_format.ParseDict(catalogue.status(specification.name, _version(specification)), response)
        return response

    def HandleReloadConfigRequest(self, _request: Any, context: Any) -> Any:  # noqa: N802
        with _status(context):
            raise _NotHereError("HandleReloadConfigRequest is not here: SageMaker says which models there are")


class _NotHereError(RequestError):
    status = 501


@contextmanager
def _status(context: Any) -> Iterator[None]:
    """Answer with a gRPC status when the block raises; nothing that a request does ends the server."""
    import grpc

    try:
        yield
    except RequestError as error:
        code = grpc.StatusCode[_CODES.get(error.status, "INTERNAL")]
        context.abort(code, _short(str(error)))  # raises
    except Exception as error:  # noqa: BLE001 - as HTTP's 500
        _log.exception("A gRPC request failed")
        context.abort(grpc.StatusCode.INTERNAL, _short(f"{type(error).__name__}: {error}"))


def _short(message: str) -> str:
    """As TensorFlow Serving's grpc_status_util.cc: gRPC has a limit, beyond which nothing arrives."""
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}...TRUNCATED"


def _name(specification: Any) -> str:
    if not specification.name:
        raise BadInputError("ModelSpec has no name specified.")
    return str(specification.name)


def _version(specification: Any) -> int | None:
    if specification.WhichOneof("version_choice") == "version_label":
        raise BadInputError(f"Unrecognized servable version label: {specification.version_label}")
    return int(specification.version.value) if specification.HasField("version") else None


def _wanted(asked: Any, signature: Signature) -> list[str]:
    """The names of outputs to answer with: those asked for, or all."""
    for index, name in enumerate(asked):
        if name not in signature.outputs:
            raise BadInputError(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
        if name in asked[:index]:
            raise BadInputError(f"duplicate output tensor alias: {name}")
    return list(asked) or list(signature.outputs)


def _examples(request: Any) -> Any:
    """The tf.Examples of an Input, serialized: objects of bytes, shape [examples]."""
    kind = request.WhichOneof("kind")
    part = getattr(request, kind) if kind else None
    if part is None or not part.examples:
        raise BadInputError("Input is empty")
    array = np.empty(len(part.examples), dtype=object)
    for index, example in enumerate(part.examples):
        if kind == "example_list_with_context":
            merged = type(example)()
            merged.CopyFrom(part.context)
            for name, feature in example.features.feature.items():  # its own replace those of the context
                merged.features.feature[name].CopyFrom(feature)
            example = merged
        array[index] = example.SerializeToString()
    return array


def _answer_for(asked: Any, answered: Any, version: int, signature_name: str) -> None:
    answered.name = asked.name
    answered.version.value = version
    answered.signature_name = signature_name
