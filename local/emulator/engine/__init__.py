"""Engines: what turns an image URI into a running container."""
