"""A plug-in of SQLAlchemy that makes the engines of MLflow and Optuna wait for locks.

It stands apart from ``sqlite``, because importing SQLAlchemy takes a quarter of a second.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import URL, CreateEnginePlugin, Engine, ExceptionContext, event

from harness.store.sqlite import PATIENCE


class Patience(CreateEnginePlugin):
    """A plug-in of SQLAlchemy. The address of a store names it, so only MLflow's and Optuna's engines use it."""

    def update_url(self, url: URL) -> URL:
        """The address has only the name of this plug-in, and no arguments for it."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Make the engine wait for locks, and name its file in errors."""
        event.listen(engine, "before_cursor_execute", _be_patient, retval=True)
        event.listen(engine, "handle_error", _name_the_file)


def _be_patient(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> tuple[str, Any]:
    """Replace MLflow's own timeout of 20 s, which it sets at the start of every session."""
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}"
    return statement, parameters


def _name_the_file(context: ExceptionContext) -> None:
    """Add ``filename`` to SQLite's errors, as in an OSError, for ``diagnosis.storage_error``."""
    if isinstance(context.original_exception, sqlite3.Error) and context.engine is not None:
        context.original_exception.filename = context.engine.url.database  # type: ignore[attr-defined]
