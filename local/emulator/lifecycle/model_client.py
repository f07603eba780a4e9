"""Tells multi-model containers over HTTP which models to load and to unload."""

from __future__ import annotations

import urllib3

from emulator.lifecycle.container_http import Reply

LOADING_SECONDS = 300.0  # AWS gives a model's download and its loading together that long at the least
_CLOSE = {"Connection": "close"}


class ModelClient:
    """Implements `container_http.ModelServer`; safe to use from several threads."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=16, retries=False)

    def load(self, address: str, name: str, url: str) -> Reply:
        """POST /models: have the model in that folder (as the container sees it) loaded under that name."""
        return self._ask("POST", f"http://{address}/models", {"model_name": name, "url": url})

    def unload(self, address: str, name: str) -> Reply:
        """DELETE /models/NAME."""
        return self._ask("DELETE", f"http://{address}/models/{name}", None)

    def _ask(self, method: str, url: str, body: dict[str, str] | None) -> Reply:
        try:
            response = self._pool.request(
                method, url, json=body, headers=_CLOSE, timeout=LOADING_SECONDS, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            return Reply(0, f"The container did not answer: {error}")
        return Reply(response.status, response.data.decode("utf-8", "replace"))
