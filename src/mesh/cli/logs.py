"""Where the programs' logs go: stderr, one JSON object per line; stdout is for the command's answer alone.

Touches: stderr, global logging set-up of the process.
"""

import logging
import sys


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
