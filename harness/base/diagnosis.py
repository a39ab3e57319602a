"""Turns errors of disks and databases into messages for the user."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator

from harness.base.errors import HarnessError

FULL = "no space is left on the disk; free some space"
TOO_MANY_FILES = "too many files are open at once; raise the limit (`ulimit -n`), or use fewer --workers"
OPEN_FILES, OPEN_FILES_PER_WORKER = 48, 4
"""How many files a run opens at once, and how many more for each worker (measured on Linux, and rounded up)."""
READ_ONLY = "it cannot be written to; make it writable, or use another --results"
OS_ERRORS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the quota of the disk is used up; free some space",
    errno.EFBIG: "a file has reached the limit of file sizes (`ulimit -f`); raise the limit",
    errno.EROFS: READ_ONLY,
    errno.EACCES: "access is denied; change its permissions, or choose another place",
    errno.EPERM: "access is denied; change its permissions, or choose another place",
    errno.EMFILE: TOO_MANY_FILES,
    errno.ENFILE: "the whole machine has too many files open at once; end other programs",
    errno.ENOMEM: "the machine has no memory left; end other programs, or use fewer --workers",
    errno.EAGAIN: "no more processes can be started; raise the limit (`ulimit -u`), or use fewer --workers",
    errno.EIO: "the disk fails; save what is on it, and use another --results",
    errno.ESTALE: "the network drive has lost it; mount the drive again",
    errno.ENOTCONN: "the network drive is not connected; mount it again",
    errno.ETIMEDOUT: "the network drive does not answer; mount it again",
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
            if "unable to open" in str(cause) and _no_more_files():
                why = TOO_MANY_FILES
            place = getattr(cause, "filename", None) or where  # set by harness/store/sqlite.py
        if why is not None:
            named = f"{place}: " if place else ""
            return HarnessError(f"{named}{why} ({cause}). What is done is kept: the same command continues")
    return None


def refuse_few_files(workers: int) -> None:
    """Raise the limit of open files as far as it may be raised; refuse to start a run with fewer than it needs.

    Raises:
        HarnessError: the limit is too low. In the middle of a run almost any call could fail by it.
    """
    needed = OPEN_FILES + OPEN_FILES_PER_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed and (hard < 0 or hard > soft):
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if 0 <= soft < needed:
        raise HarnessError(
            f"at most {soft} files may be open at once (`ulimit -n`), but a run with {workers} "
            f"{'worker' if workers == 1 else 'workers'} needs {needed}: raise the limit, or use fewer --workers"
        )


def _no_more_files() -> bool:
    """Whether this process can open no more files: SQLite does not say why it cannot open one."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and the exceptions that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
