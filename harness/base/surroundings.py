"""What MLflow and Optuna are told through the process that they run in: for the time of a block, not by an import.

The command line holds such a block for its whole life. ``harness.load`` holds one for the time of the call, so that
the notebook that calls it is as it was.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # One lost answer is nothing; but MLflow would go on asking for minutes, where Delivery can wait and others cannot.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Set where the user has not set them."""
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""Set by a store whose address holds them; they go when the block ends."""
LEVELS = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    # It prints the traceback of whatever a database refuses, and raises it as well.
    "mlflow.store.db.utils": logging.CRITICAL,
    "optuna": logging.WARNING,
}

_lock = threading.Lock()
_blocks = 0
_levels: dict[str, int] = {}
"""The levels that the loggers had, or that their libraries gave them meanwhile."""


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """Have the variables set, and put back what was there."""
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, *CREDENTIALS)}
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, was in before.items():
            if was is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = was


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Have MLflow send no telemetry and give up soon, and it and Optuna say no more than warnings.

    Of blocks within each other, or in several threads, the outermost counts.
    """
    global _blocks
    with _lock:
        _blocks += 1
    try:
        with environment():
            imported()
            yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                for name, level in _levels.items():
                    logging.getLogger(name).setLevel(level)
                _levels.clear()


def imported() -> None:
    """A library that sets the levels of its loggers may just have been imported: quieten it, if a block says so."""
    with _lock:
        for name, level in LEVELS.items() if _blocks else ():
            logger = logging.getLogger(name)
            if logger.level != level:
                _levels[name] = logger.level
                logger.setLevel(level)
