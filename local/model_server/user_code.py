"""The code folder that a model brings, or that all models of a server share: what it installs, and its handlers."""

from __future__ import annotations

import logging
from pathlib import Path

from model_server import handlers, user_packages
from model_server.errors import LoadingError
from model_server.handlers import Handler
from model_server.user_packages import Packages

_log = logging.getLogger(__name__)


class UserCode:
    """The handlers of `code/inference.py`, if it is there: installed, then loaded, then asked for from many threads."""

    def __init__(self, code: Path, *, expected: bool = False) -> None:
        """`expected`: the folder is not there yet, but will be when `install` is called."""
        self._code = code
        self._handler: Handler | None = None
        self._pending = expected or self.exists
        self._packages = Packages(code)

    @property
    def exists(self) -> bool:
        """Whether there is an inference.py."""
        return (self._code / handlers.SCRIPT).is_file()

    @property
    def handler(self) -> Handler | None:
        """What answers invocations; None when there is no inference.py. Raises LoadingError until it is loaded."""
        if self._pending:
            raise LoadingError(f"{handlers.SCRIPT} is still loading")
        return self._handler

    @property
    def ready(self) -> bool:
        """Whether `handler` can be had."""
        return not self._pending

    def install(self) -> None:
        """Find or install the packages that the handlers need. Raises StartError."""
        if self.exists:
            self._packages.install()
        elif (self._code / user_packages.REQUIREMENTS).exists():
            _log.warning(
                "%s is not installed: there is no %s", self._code / user_packages.REQUIREMENTS, handlers.SCRIPT
            )

    def load(self) -> None:
        """Import inference.py. Raises StartError.

        To be called when TensorFlow is imported: it must not find what was installed in the place of its own packages.
        """
        if self.exists:
            self._packages.add_to_path()
            self._handler = handlers.load(self._code / handlers.SCRIPT)
            _log.info("Handlers of %s are loaded", self._code / handlers.SCRIPT)
        self._pending = False

    def close(self) -> None:
        """Remove what was installed."""
        self._packages.close()


def of_model(folder: Path) -> Handler | None:
    """The handlers that a model of multi-model mode brings in `code/`; None when it brings none. Raises StartError."""
    code = folder / "code"
    script = code / handlers.SCRIPT
    if not script.is_file():
        return None
    user_packages.add_lib(code)
    return handlers.load(script)
