"""Serves SavedModels over HTTP with the contract of AWS's TensorFlow inference container."""
