"""The wire: the only place that knows botocore's service models."""
