"""Serves SavedModels with the HTTP contract of AWS's TensorFlow inference container."""
