"""What any call to a Docker daemon may raise."""

from __future__ import annotations

from docker.errors import DockerException
from requests import RequestException

ERRORS = (DockerException, RequestException, OSError)  # refused by it, not answered, not even reached
