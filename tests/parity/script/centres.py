"""Prints the variables of a SavedModel as JSON, {name: nested lists}; for a Python that has the image's TensorFlow.

It reads the variables' file itself and runs no graph: what is compared is what training wrote, whatever serves it.
"""

from __future__ import annotations

import json
import sys

import tensorflow as tf

reader = tf.train.load_checkpoint(sys.argv[1])
print(json.dumps({name: reader.get_tensor(name).tolist() for name in reader.get_variable_to_shape_map()}))
