"""Loads botocore's service models, once each and on first use."""

from __future__ import annotations

import functools

from botocore.loaders import Loader
from botocore.model import ServiceModel


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Botocore's model of `service` (`sagemaker`: 90 ms at first; later calls are free).

    Only the models that botocore ships are looked at, not those of the user's `~/.aws/models`.
    """
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)
