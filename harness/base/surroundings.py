"""Settings of the process that MLflow and Optuna read: environment variables and logger levels.

They are set for the time of a block, never by an import. The command line runs inside such a block. ``harness.load``
uses one for the time of the call, so that it leaves a notebook's process unchanged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from harness.base.files import expanded

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # One retry is enough for a lost answer. By default MLflow would retry for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Its lines "View run …" after every trial, and a progress bar for every file.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set where the user has not set them."""
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""A store sets them if its address holds them. They are removed when the block ends."""
PLACES = ("HARNESS_RESULTS", "HARNESS_DATA", "HARNESS_CACHE", "HARNESS_INCEPTION")
"""Paths in them may begin with ``~``: only a shell expands that, and not everywhere."""
LEVELS = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    # It logs the traceback of every database error, which it also raises.
    "mlflow.store.db.utils": logging.CRITICAL,
    "optuna": logging.WARNING,
}

_lock = threading.Lock()
_blocks = 0
_levels: dict[str, int] = {}
"""The levels that the loggers had before, or that their libraries set inside the block."""


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """Set the variables, and restore their values at the end.

    Raises:
        HarnessError: a path in them begins with the ``~`` of an unknown user.
    """
    places = {name: str(expanded(os.environ[name])) for name in PLACES if os.environ.get(name)}
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, *CREDENTIALS, *places)}
    os.environ.update(places)
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
    """No telemetry of MLflow, few retries, and only warnings of MLflow and Optuna.

    Blocks may be nested, or run in several threads: the levels are restored when the last one ends.
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
    """Call this after importing a library that sets its loggers' levels: inside a block they are set again."""
    with _lock:
        for name, level in LEVELS.items() if _blocks else ():
            logger = logging.getLogger(name)
            if logger.level != level:
                _levels[name] = logger.level
                logger.setLevel(level)
