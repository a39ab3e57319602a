"""The addresses of the two stores, and what is told of them: the one place that asks the environment for them.

``MLFLOW_TRACKING_URI`` names MLflow's store, ``HARNESS_STORAGE`` Optuna's. Without them both are files in the results
folder. Passwords stand in addresses, so every message shows an address through ``discreet``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from harness.base.errors import HarnessError
from harness.base.messages import discreet
from harness.base.validation import shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

TRACKING, STORAGE = "MLFLOW_TRACKING_URI", "HARNESS_STORAGE"
DATABASES = ("postgresql", "mysql", "mssql")
"""Database servers that MLflow supports."""
SHARED = ("postgresql", "postgresql+psycopg2", "postgresql+psycopg")
"""How the address of Optuna's database begins: with locks on rows, and with a driver that has the options used here."""
DRIVERS = {
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "pyodbc": "pyodbc",
    "pymssql": "pymssql",
}
"""The module of a database's driver -> the package that has it."""


class Silent(HarnessError):
    """A store on another machine, or behind a server, that does not answer."""


def forget() -> None:
    """From now on both stores are files in the results folder."""
    for name in (TRACKING, STORAGE):
        os.environ.pop(name, None)


def tracking() -> str:
    """The address of MLflow's store; empty if it is in the results folder.

    The password of a server is moved to the variables that MLflow reads.

    Raises:
        HarnessError: it is not the address of a store.
    """
    address = os.environ.get(TRACKING)
    if not address:
        return ""
    try:
        parts = urlparse(address)
        scheme = parts.scheme.partition("+")[0]
        if scheme in ("http", "https") and parts.hostname:
            if parts.username:
                os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
                os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
            return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        database = file(address) if scheme == "sqlite" else None
        if (database and database != Path.cwd() and database.parent.is_dir()) or (
            scheme in DATABASES and parts.hostname
        ):
            return address
    except (ValueError, OSError):
        pass
    raise HarnessError(
        f"{TRACKING} is {shown(discreet(address))}, which is not a store: expected the address of a server "
        f"(https://…, http://…) or of a database (sqlite:/// and a file in an existing folder, "
        f"{'://…, '.join(DATABASES)}://…); if it is not set, the store is in the results folder"
    )


def storage() -> str:
    """The address of Optuna's database; empty if it is in the results folder.

    Raises:
        HarnessError: it is not the address of a PostgreSQL database, or the one that MLflow has.
    """
    address = os.environ.get(STORAGE)
    if not address:
        return ""
    try:
        parts = urlparse(address)
        whole = parts.scheme in SHARED and bool(parts.hostname) and len(parts.path) > 1 and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole:
        raise HarnessError(
            f"--storage ({STORAGE}) is {shown(discreet(address))}, which is not a PostgreSQL database: expected "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME; without it, the queues are in the results folder"
        )
    if _database(address) == _database(os.environ.get(TRACKING, "")):
        raise HarnessError(
            f"--storage ({STORAGE}) and {TRACKING} name the same database, {discreet(address)}: MLflow and Optuna need "
            "one each, because both keep their version in a table of the same name. Create a second one (`createdb`)"
        )
    return address


def with_driver(address: str) -> str:
    """An address of PostgreSQL that names its driver: ``postgresql://`` alone means that of the extra.

    Which one SQLAlchemy takes depends on its version.
    """
    return re.sub("^postgresql:", "postgresql+psycopg2:", address)


def _database(address: str) -> tuple[str | None, int, str] | None:
    """Which database of PostgreSQL this is; None if it is none."""
    parts = urlparse(address)
    is_one = parts.scheme.partition("+")[0] == "postgresql"
    return (parts.hostname, parts.port or 5432, parts.path) if is_one else None


@contextlib.contextmanager
def connected(address: str) -> Iterator[Connection]:
    """A connection to a database, for one transaction."""
    from sqlalchemy import create_engine

    engine = create_engine(address)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def file(address: str) -> Path | None:
    """The file of an address; None if it is a server.

    Raises:
        ValueError: it is no address.
    """
    if not address.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return Path(make_url(address).database or "").resolve()
    except ArgumentError as error:
        raise ValueError(str(error)) from error


def missing_driver(error: Exception, store: str) -> HarnessError | None:
    """The message for the user if the driver of a database is not installed; else None."""
    if not isinstance(error, ImportError):
        return None
    module = (error.name or "").partition(".")[0]
    package = DRIVERS.get(module, module)
    return HarnessError(
        f"the driver of the database {store} is not installed ({brief(error)}): `pip install {shlex.quote(package)}`"
    )


def brief(error: Exception) -> str:
    """The message of an error, in one line of at most 300 characters, without passwords."""
    text = " ".join(discreet(str(error)).split()) or type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"
