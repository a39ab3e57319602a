"""Where the queues and the searches are that Optuna keeps: a file in the results folder, or a database server.

On a server (``HARNESS_STORAGE``) several drivers may share them: ``shared`` has what they need for that, ``claims`` who
trains what.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError
from harness.base.files import create_atomically
from harness.base.messages import discreet
from harness.store import addresses, sqlite
from harness.store.claims import Claims, lease

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

FILE = "optuna.db"
"""The file in a results folder."""


class Studies:
    """The Optuna store of a results folder, or the database that ``HARNESS_STORAGE`` names.

    Args:
        results: the results folder.

    Attributes:
        address: of the database server; empty if it is a file.
        file: the file; None if it is a database server.

    Raises:
        HarnessError: ``HARNESS_STORAGE`` is not the address of such a database.
    """

    def __init__(self, results: Path) -> None:
        self.address = addresses.storage()
        self.file = None if self.address else results.resolve() / FILE

    @property
    def shared(self) -> bool:
        """Whether several drivers may use it at the same time."""
        return self.file is None

    @property
    def exists(self) -> bool:
        """Whether there is a store to read; a server is assumed to exist."""
        return self.file is None or self.file.is_file()

    @property
    def shown(self) -> str:
        """What messages call it, without a password."""
        return FILE if self.file is not None else discreet(self.address)

    def opened(self) -> BaseStorage:
        """Open it; create it if there is none.

        Raises:
            HarnessError: it is damaged, another version of Optuna wrote it, or the server does not answer.
        """
        if self.file is None:
            with self.reading():
                from harness.store.shared import Shared

                return Shared(self.address)
        if not self.file.exists():
            create_atomically(self.file, lambda new: _opened(new).engine.dispose())  # a kill must leave no half store
        sqlite.check(self.file, sqlite.OPTUNA)
        with self.reading():
            return _opened(sqlite.readable(self.file))

    def claims(self, results: Path) -> Claims:
        """The claims of a driver on what it trains. Use them as a context manager.

        Args:
            results: the results folder, which this driver has locked.
        """
        if not self.shared:
            return Claims()
        from harness.store.leases import Leases

        return Leases(self.address, results, lease())

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn every error of a library that reads it into a message for the user.

        Raises:
            HarnessError: the file is damaged, or the server does not answer.
        """
        if self.file is not None:
            with sqlite.reading(self.file, sqlite.OPTUNA):
                yield
            return
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            if (missing := addresses.missing_driver(error, self.shown)) is not None:
                raise missing from error
            from optuna.exceptions import StorageInternalError
            from sqlalchemy.exc import SQLAlchemyError

            from harness.store.shared import silent

            if isinstance(error, StorageInternalError | SQLAlchemyError):
                raise silent(error, self.shown) from error
            raise

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell the user, once, if the ``with`` block takes long. ``Shared`` itself says so of a server."""
        with sqlite.waiting("the stores") if self.file is not None else contextlib.nullcontext():
            yield


def _opened(path: Path) -> RDBStorage:
    from optuna.storages import RDBStorage

    return RDBStorage(sqlite.patient(path))
