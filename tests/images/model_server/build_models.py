"""Builds the SavedModels of these tests; a program of its own, so that pytest never imports TensorFlow."""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import tensorflow as tf


def spec(dtype: tf.DType, *shape: int | None, name: str) -> tf.TensorSpec:
    """An input; `shape` without values is a scalar."""
    return tf.TensorSpec(shape, dtype, name=name)


Signatures = dict[str, Any]


def half_plus(addend: float) -> tuple[tf.Module, Signatures]:
    """X / 2 + addend, for an `x` of any shape: the model of TensorFlow Serving's own examples."""
    module = tf.Module()
    module.addend = tf.Variable(addend)
    module.f = tf.function(
        lambda x: {"y": x * 0.5 + module.addend}, input_signature=[tf.TensorSpec(None, tf.float32, name="x")]
    )
    return module, {"serving_default": module.f}


def clusters() -> tuple[tf.Module, Signatures]:
    """Nearest of three centres for vectors of 4: two outputs, as the K-means entry point exports."""
    module = tf.Module()
    module.centres = tf.Variable([[0.0] * 4, [10.0] * 4, [5.0, 0.0, 5.0, 0.0]])

    def f(ratings: tf.Tensor) -> dict[str, tf.Tensor]:
        distances = tf.reduce_sum(tf.square(ratings[:, None, :] - module.centres[None]), axis=2)
        return {"cluster_index": tf.argmin(distances, axis=1), "distances": distances}

    module.f = tf.function(f, input_signature=[spec(tf.float32, None, 4, name="ratings")])
    return module, {"serving_default": module.f}


def kinds() -> tuple[tf.Module, Signatures]:
    """One signature for each kind of input, output and failure."""
    module = tf.Module()

    def sign(name: str, function: object, *specs: tf.TensorSpec) -> None:
        made = tf.function(function, input_signature=list(specs))
        setattr(module, f"sign_{name}", made)
        signatures[name] = made

    signatures: Signatures = {}
    sign("serving_default", lambda x: {"y": x * 2.0}, spec(tf.float32, None, 4, name="x"))
    sign("strings", lambda text: {"upper": tf.strings.upper(text)}, spec(tf.string, None, name="text"))
    sign("binary", lambda text: {"raw": text, "raw_bytes": text}, spec(tf.string, None, name="text"))
    sign("integers", lambda n: {"next": tf.cast(n, tf.int64) + 1}, spec(tf.int32, None, name="n"))
    sign("booleans", lambda b: {"not": tf.logical_not(b)}, spec(tf.bool, None, name="b"))
    sign(
        "two",
        lambda tag, signal: {"label": tf.strings.join([tag, "!"]), "total": tf.reduce_sum(signal, axis=1)},
        spec(tf.string, None, name="tag"),
        spec(tf.float32, None, 2, name="signal"),
    )
    sign("half", lambda x: {"y": x * tf.cast(2.0, tf.float16)}, spec(tf.float16, None, name="x"))
    sign("packed", lambda x: {"bytes": tf.io.serialize_tensor(x)}, spec(tf.float32, name="x"))
    sign("logarithm", lambda x: {"y": tf.math.log(x)}, spec(tf.float32, None, name="x"))
    sign("scalar", lambda x: {"total": tf.reduce_sum(x)}, spec(tf.float32, None, name="x"))

    def asserts(x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.debugging.assert_positive(x, message="only positive values, please")
        return {"y": x}

    sign("asserts", asserts, spec(tf.float32, None, name="x"))
    return module, signatures


def examples() -> tuple[tf.Module, Signatures]:
    """Signatures for classify and regress: serialized tf.Examples of `x` (two floats), `n` (integers) and `tag`.

    As Keras and tf.saved_model.save export them, with the method name predict.
    """
    module = tf.Module()
    signatures: Signatures = {}
    features = {
        "x": tf.io.FixedLenFeature([2], tf.float32),
        "n": tf.io.VarLenFeature(tf.int64),
        "tag": tf.io.FixedLenFeature([], tf.string, default_value="none"),
    }

    def sign(name: str, function: Any) -> None:
        def read(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            made: dict[str, tf.Tensor] = function(tf.io.parse_example(inputs, features))
            return made

        made = tf.function(read, input_signature=[spec(tf.string, None, name="inputs")])
        setattr(module, f"sign_{name}", made)
        signatures[name] = made

    def classes(read: dict[str, Any]) -> tf.Tensor:
        return tf.stack([read["tag"], tf.strings.join([read["tag"], "!"])], axis=1)

    sign("serving_default", lambda read: {"classes": classes(read), "scores": read["x"]})
    sign("classes", lambda read: {"classes": classes(read)})
    sign("scores", lambda read: {"scores": tf.math.log(read["x"])})
    sign("double", lambda read: {"scores": tf.cast(read["x"], tf.float64)})
    sign("flat", lambda read: {"scores": read["x"][:, 0]})
    sign("uneven", lambda read: {"classes": classes(read), "scores": read["x"][:, :1]})
    sign("heads", lambda read: {"classes": classes(read), "scores": read["x"], "logits": read["x"]})
    sign("nameless", lambda read: {"probabilities": read["x"]})
    sign("value", lambda read: {"outputs": tf.reduce_sum(read["x"], axis=1)})
    sign("column", lambda read: {"outputs": tf.cast(tf.sparse.reduce_sum(read["n"], 1, keepdims=True), tf.float32)})
    sign("pair", lambda read: {"outputs": read["x"]})
    sign("total", lambda read: {"outputs": tf.reshape(tf.reduce_sum(read["x"]), [1])})
    module.plain = tf.function(
        lambda inputs: {"outputs": inputs[:, 0]}, input_signature=[spec(tf.float32, None, 2, name="inputs")]
    )
    module.other = tf.function(
        lambda examples: {"classes": examples[:, None]}, input_signature=[spec(tf.string, None, name="examples")]
    )
    return module, {**signatures, "plain": module.plain, "other": module.other}


def old(path: str) -> None:
    """A model as TensorFlow 1 exported it: no functions, a table to initialise; and one sparse signature."""
    v1 = tf.compat.v1
    info = v1.saved_model.build_tensor_info
    sign = v1.saved_model.build_signature_def
    with tf.Graph().as_default(), v1.Session() as session:
        words = v1.placeholder(tf.string, [None])
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64))
        count = v1.get_variable("count", initializer=tf.constant(10, tf.int64))
        number = tf.lookup.StaticHashTable(pairs, -1).lookup(words) + count
        sparse = v1.sparse_placeholder(tf.float32, [None, 3])
        total = tf.sparse.reduce_sum(sparse)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            {
                "serving_default": sign({"words": info(words)}, {"n": info(number)}, "tensorflow/serving/predict"),
                "sparse": sign({"x": info(sparse)}, {"total": info(total)}, "tensorflow/serving/predict"),
            },
            main_op=v1.tables_initializer(),
        )
        builder.save()


def main() -> None:
    """Save every model where the tests look for it."""
    base = Path(sys.argv[1])
    for (module, signatures), path in (
        (half_plus(2.0), "several/half_plus/00000123"),
        (half_plus(3.0), "several/half_plus/124"),
        (kinds(), "several/kinds/1"),
        (clusters(), "single/1"),
        (examples(), "several/tagged/1"),
    ):
        tf.saved_model.save(module, str(base / path), signatures=signatures)
    old(str(base / "several/old/1"))


if __name__ == "__main__":
    main()
