"""Remembers that a plan was run to its end, so that the next run of it need not start the driver.

It holds as long as the suite file, the keys of its trials and both databases are the same to the byte, no trial has a
journal that waits, and every trial of the plan has an outcome of its own in the store. A search always starts the
driver: Optuna says what it has chosen.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base import digests
from harness.base.files import read_sealed, write_sealed
from harness.store import journal, sqlite
from harness.store.folders import Folders
from harness.store.runs import Store, standing
from harness.store.studies import Studies

if TYPE_CHECKING:
    from harness.suite.plan import Plan


def is_known(plan: Plan, results: Path) -> bool:
    """Whether a run of this plan would find nothing to do."""
    kept, state = _path(plan, results), _state(plan, results)
    if state is None or not kept.is_file() or journal.files(Folders(results).work):
        return False
    if read_sealed(kept, "the suite is looked at completely") != state.encode():
        return False
    found = Store(results).found(plan.trials).current
    return all(trial.key in found and standing(found[trial.key]).state.settled for trial in plan.trials)


def remember(plan: Plan, results: Path) -> None:
    """Remember that the driver has run this plan to its end. The caller holds the lock of the store."""
    with contextlib.suppress(OSError, sqlite3.Error):  # then the next run starts the driver
        for path in _databases(results) or ():
            with contextlib.closing(sqlite3.connect(path, sqlite.PATIENCE)) as connection:
                # What waits beside the file goes into it now: else that would happen later, and change its bytes.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if (state := _state(plan, results)) is not None:
            write_sealed(_path(plan, results), state.encode())


def _path(plan: Plan, results: Path) -> Path:
    return Folders(results).cache / f"{plan.suite.name}.finished"


def _databases(results: Path) -> list[Path] | None:
    """The files of both databases; None if one is missing, or on a server."""
    found = [Store(results).file, Studies(results).file]
    files = [path for path in found if path is not None and path.is_file()]
    return files if len(files) == len(found) else None


def _state(plan: Plan, results: Path) -> str | None:
    """A digest of all that decides what a run of the plan would do; None if it cannot be told."""
    databases = _databases(results)
    if databases is None or plan.suite.search is not None:
        return None
    suite = plan.suite
    asked = [str(suite.path.absolute()), suite.text, suite.sets, [trial.key for trial in plan.trials]]
    return digests.of_value([asked, [sqlite.content(path) for path in databases]])
