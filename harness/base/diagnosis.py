"""Turns errors of disks and databases into messages for the user."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from harness.base.errors import HarnessError

FULL = "no space is left on the disk; free some space"
READ_ONLY = "it cannot be written to; make it writable, or use another --results"
OS_ERRORS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the quota of the disk is used up; free some space",
    errno.EFBIG: "a file has reached the limit of file sizes (`ulimit -f`); raise the limit",
    errno.EROFS: READ_ONLY,
    errno.EACCES: "access is denied; change its permissions, or choose another place",
    errno.EPERM: "access is denied; change its permissions, or choose another place",
}
"""errno -> what is wrong and what to do."""
SQLITE_ERRORS = {
    "disk is full": FULL,
    "disk I/O error": "the disk fails, or a file has reached the limit of file sizes (`ulimit -f`)",
    "readonly database": READ_ONLY,
    "unable to open database": "the store cannot be opened; make its folder writable, or use another --results",
    "is locked": "another program keeps the store locked; end it",
}
"""Part of SQLite's message -> what is wrong and what to do."""


def storage_error(error: BaseException, where: object = None) -> HarnessError | None:
    """The message for the user if a disk or a store has caused this exception, directly or indirectly; else None."""
    for cause in _causes(error):
        why, place = None, where
        if isinstance(cause, OSError):
            why, place = OS_ERRORS.get(cause.errno or 0), cause.filename or where
        elif isinstance(cause, sqlite3.Error):
            why = next((text for sign, text in SQLITE_ERRORS.items() if sign in str(cause)), None)
            place = getattr(cause, "filename", None) or where  # set by harness/store/sqlite.py
        if why is not None:
            named = f"{place}: " if place else ""
            return HarnessError(f"{named}{why} ({cause}). What is done is kept: the same command continues")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and the exceptions that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
