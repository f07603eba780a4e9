"""A local stand-in for SageMaker that really trains and serves."""
