"""What to tell the user of an error that a disk or a database is the cause of."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from harness.base.errors import HarnessError

FULL = "no space is left on the disk; make room"


READ_ONLY = "it cannot be written to; make it writable, or use another --results"


AILMENTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the quota of the disk is used up; make room",
    errno.EFBIG: "a file has grown to the limit that is set for files (`ulimit -f`); raise it",
    errno.EROFS: READ_ONLY,
    errno.EACCES: "access is denied; change its permissions, or choose another place",
    errno.EPERM: "access is denied; change its permissions, or choose another place",
}


SQLITE_AILMENTS = {
    "disk is full": FULL,
    "disk I/O error": "the disk fails, or a file has grown to the limit that is set for files (`ulimit -f`)",
    "readonly database": READ_ONLY,
    "unable to open database": "the store cannot be opened; make its folder writable, or use another --results",
    "is locked": "another program keeps the store locked; end it",
}


def refusal(error: BaseException, where: object = None) -> HarnessError | None:
    """What to tell the user, if a disk or a store is at fault: the exception says so, or one that it came from."""
    for cause in _causes(error):
        why, place = None, where
        if isinstance(cause, OSError):
            why, place = AILMENTS.get(cause.errno or 0), cause.filename or where
        elif isinstance(cause, sqlite3.Error):
            why = next((text for sign, text in SQLITE_AILMENTS.items() if sign in str(cause)), None)
            place = getattr(cause, "filename", None) or where  # of a store's engine, see harness/store/sqlite.py
        if why is not None:
            named = f"{place}: " if place else ""
            return HarnessError(f"{named}{why} ({cause}). What was done is kept, and the same command goes on with it")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
