"""A logger for the WebSocket library that lets through bugs only.

What strangers send wrong is counted, not logged: they must not be able to fill a disk.

Touches: logging.
"""

import logging
from collections.abc import Mapping
from typing import Any

import structlog


class BugsOnly(logging.LoggerAdapter[logging.Logger]):
    """Drops every record but those of exceptions in our own callbacks."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.getLogger("mesh.relay"))
        self._bugs = log

    def isEnabledFor(self, level: int) -> bool:
        """Errors only, so that the library formats nothing else."""
        return level >= logging.ERROR

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Pass on what carries an exception."""
        if kwargs.get("exc_info"):
            self._bugs.error("relay.callback_failed", exc_info=True)

    def process(self, msg: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Nothing to add."""
        return msg, kwargs
