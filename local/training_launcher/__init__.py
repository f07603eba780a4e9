"""Runs a training script as AWS's sagemaker-training toolkit would, on a machine without a compiler."""
