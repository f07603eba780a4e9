"""Writes the small SavedModel of benchmarks/gateway.py: python gateway_model.py FOLDER VALUES.

Runs in the environment of the training image. The model is that of the entry point in small: the nearest of 8 centres
for each vector.
"""

from __future__ import annotations

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import tensorflow as tf


def main() -> None:
    """Write it."""
    folder, values = sys.argv[1], int(sys.argv[2])
    module = tf.Module()
    module.centres = tf.Variable(tf.random.stateless_uniform([8, values], seed=[1, 2]))

    def nearest(ratings: tf.Tensor) -> dict[str, tf.Tensor]:
        distances = tf.reduce_sum(tf.square(ratings[:, None, :] - module.centres[None]), axis=2)
        return {"cluster_index": tf.argmin(distances, axis=1), "distances": distances}

    module.nearest = tf.function(nearest, input_signature=[tf.TensorSpec([None, values], tf.float32, name="ratings")])
    tf.saved_model.save(module, folder, {"serving_default": module.nearest})


if __name__ == "__main__":
    main()
