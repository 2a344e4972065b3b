"""Where the programs' logs go: stderr, one JSON object per line; stdout is for the command's answer alone.

Touches: stderr, a log file, global logging set-up of the process.
"""

import logging
import os
import sys
from pathlib import Path


def of_children_to(path: Path) -> None:
    """At a terminal, what this process's children log goes to a file; people see words only.

    Where stderr is no terminal (a journal, a pipe) nothing changes. This process itself keeps its stderr.
    """
    if not sys.stderr.isatty():
        return
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)


def to_stderr() -> None:
    """Send structlog and the standard library's warnings to stderr. Called once, by commands that stay."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format='{"level": "%(levelname)s", "event": "%(message)s"}'
    )
