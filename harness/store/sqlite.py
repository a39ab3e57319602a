"""The SQLite files of the stores: check them before use, and wait for locks.

SQLite has no checksums, so the code that writes a result seals it (``digests.seal``). This module checks the file: its
structure, and which version wrote it. MLflow and Optuna would upgrade files of their older versions without asking,
and leave them half upgraded if they are killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.base import diagnosis, digests, files
from harness.base.errors import HarnessError
from harness.base.messages import note

FORMAT = 2
"""The format of what the harness writes into its stores; increase it for every change that older code would misread."""
STAMP = "store"
"""The name of the file with the format, in the results folder."""
PATIENCE = 300.0
"""Seconds that a write waits while another program holds the lock."""
PLUGIN = "Patience"
"""The plug-in of SQLAlchemy that waits so long."""
SPEAK_AFTER = 5.0
"""Seconds of waiting after which the user is told."""
COPIES = 5
"""How often a file that changes while it is copied is copied again."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its library, the folder of migrations, the upgrade command, what happens without the file."""

    library: str
    migrations: str
    upgrade: str
    without: str


MLFLOW = Kind(
    "mlflow",
    "store/db_migrations",
    "mlflow db upgrade {address}",
    "move it away: then every trial is trained again",
)
OPTUNA = Kind(
    "optuna",
    "storages/_rdb/alembic",
    "optuna storage upgrade --storage {address}",
    "move it away: the queue is made again from mlflow.db, and no finished trial is trained again",
)


def address(path: Path) -> str:
    """The address of a file, with all special characters escaped."""
    return f"sqlite:///{quote(str(path), safe=' +/')}"  # as SQLAlchemy's URL, whose import takes a quarter of a second


def patient(path: Path) -> str:
    """The address of a file for an engine of this process: with a long timeout for locks."""
    from sqlalchemy.dialects import plugins

    # By its name: it is imported when an engine is made.
    plugins.register(PLUGIN, "harness.store.patience", PLUGIN)
    return elsewhere(path, plugin=PLUGIN)


def elsewhere(path: Path, **query: str) -> str:
    """The address of a file for an engine of another process: with SQLite's own timeout."""
    from sqlalchemy import URL

    # With the driver's name: without it, MLflow takes the escaped path literally and creates that folder.
    query["timeout"] = f"{PATIENCE:g}"
    return URL.create("sqlite+pysqlite", database=str(path), query=query).render_as_string()


def readable(path: Path) -> Path:
    """The file; where it cannot be written to, a copy of it in a temporary folder of this process.

    SQLite writes beside a file in WAL mode even to read it. The copy is made again when the file has changed.

    Raises:
        HarnessError: the file cannot be read.
    """
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return path
    state = _state(path)
    if path not in _copies or _copies[path][0] != state:
        folder = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        try:
            for _ in range(COPIES):  # again if another machine wrote to it meanwhile
                for ending in _FILES:
                    if Path(f"{path}{ending}").exists():
                        shutil.copyfile(f"{path}{ending}", Path(folder.name) / f"{path.name}{ending}")
                before, state = state, _state(path)
                if before == state:
                    break
        except OSError as error:
            raise diagnosis.storage_error(error, path) or HarnessError(f"{path} cannot be read ({error})") from error
        _copies[path] = (state, folder)
    return Path(_copies[path][1].name) / path.name


_FILES = ("", "-wal")
"""Endings of the files that hold what a database has."""
_copies: dict[Path, tuple[Any, tempfile.TemporaryDirectory[str]]] = {}


def _state(path: Path) -> list[tuple[int, int] | None]:
    """What changes when somebody writes to a database."""
    found: list[tuple[int, int] | None] = []
    for ending in _FILES:
        try:
            stat = Path(f"{path}{ending}").stat()
            found.append((stat.st_size, stat.st_mtime_ns))
        except OSError:
            found.append(None)
    return found


def content(path: Path) -> str | None:
    """The state of MLflow's database for ``stored.Memory``: a digest of all that ``check`` and reading depend on.

    These are the bytes of the file, what waits beside it to be written into it, the stamp of the results folder, and
    the version of MLflow. None if the file cannot be read.
    """
    try:
        each = [path, Path(f"{path}-wal"), path.parent / STAMP]
        present = [one for one in each if one == path or (one.is_file() and one.stat().st_size)]
        found = [f"{one.name} {digest}" for one, digest in zip(present, _digests(present), strict=True)]
    except (OSError, subprocess.SubprocessError):
        return None
    return digests.of_value([*found, metadata.version(MLFLOW.library)])


DIGESTING = """
import hashlib, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())
"""
SETTLED = 2.0
"""Seconds after which a further write gives a file another modification time, on every file system."""
_known: dict[tuple[Path, int, int, int], str] = {}


def _digests(paths: list[Path]) -> list[str]:
    """SHA-256 of files. Those that have not changed for a while are read once.

    Another process reads them: when a process closes a file that it had opened beside SQLite, the system takes away the
    locks that SQLite holds on it, in all its connections (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    stats = [path.stat() for path in paths]
    keys = [(path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True)]
    now = time.time_ns()
    asked = [key for key in keys if key not in _known or now - key[3] < SETTLED * 1e9]
    if asked:
        words = [sys.executable, "-I", "-S", "-c", DIGESTING, *(str(key[0]) for key in asked)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        _known.update(zip(asked, done.stdout.split(), strict=True))
    return [_known[key] for key in keys]


def check(path: Path, kind: Kind) -> None:
    """Check a file before its library opens it.

    Raises:
        HarnessError: it is damaged, or another version of the library or of the harness wrote it.
    """
    stamp = _stamp(path.parent)
    if stamp.get("format", FORMAT) > FORMAT:
        raise HarnessError(
            f"the store in {path.parent} has format {stamp['format']}, but this harness knows only {FORMAT}: a newer "
            "harness wrote it. `pip install --upgrade gan-harness`, or use another --results"
        )
    opened = f"{readable(path).as_uri()}?mode=rw"
    with waiting(path), reading(path, kind), contextlib.closing(sqlite3.connect(opened, PATIENCE, uri=True)) as file:
        found = [row[0] for row in file.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(map(str, found)))
        [[revision]] = file.execute("SELECT version_num FROM alembic_version").fetchall()
    # Reading all migrations takes a second: skip it if this version has already checked the file.
    if stamp.get(kind.library) != _made_by(kind, revision) and revision not in scripts(kind).get_heads():
        raise _other_version(path, kind, str(revision))


def stamp(results: Path) -> None:
    """Write into a results folder which versions its stores have been checked with."""
    found: dict[str, Any] = {"format": FORMAT}
    for kind in (MLFLOW, OPTUNA):
        path = results / f"{kind.library}.db"
        if path.is_file():
            with contextlib.closing(sqlite3.connect(path, PATIENCE)) as connection:
                [[revision]] = connection.execute("SELECT version_num FROM alembic_version")
            found[kind.library] = _made_by(kind, revision)
    if found != _stamp(results):
        files.write_sealed(results / STAMP, json.dumps(found, sort_keys=True).encode())


def _stamp(results: Path) -> dict[str, Any]:
    """What ``stamp`` wrote; empty for an older store without it, which has format 1."""
    content = files.read_sealed(results / STAMP, "the stores are checked completely, and it is written again")
    found: dict[str, Any] = json.loads(content or b"{}")
    return found


def _made_by(kind: Kind, revision: object) -> list[str]:
    return [metadata.version(kind.library), str(revision)]


def scripts(kind: Kind) -> Any:
    """The migrations that the installed library knows, as alembic has them."""
    from alembic.script import ScriptDirectory

    [folder] = importlib.util.find_spec(kind.library).submodule_search_locations  # type: ignore[union-attr, misc]
    return ScriptDirectory(str(Path(folder) / kind.migrations))


def _other_version(path: Path, kind: Kind, revision: str) -> HarnessError:
    installed = f"{kind.library} {metadata.version(kind.library)}"
    if any(script.revision == revision for script in scripts(kind).walk_revisions()):
        command = kind.upgrade.format(address=shlex.quote(address(path)))
        return HarnessError(
            f"{path} was made by an older version of {kind.library} (revision {revision}), and {installed} needs "
            f"another format: make a copy of it, then run `{command}`"
        )
    return HarnessError(
        f"{path} has a revision that {installed} does not know ({revision}): a newer version made it. "
        f"`pip install --upgrade {kind.library}`, or use another --results"
    )


@contextlib.contextmanager
def reading(path: Path, kind: Kind) -> Iterator[None]:
    """Turn every error of a library that reads the file into a message that names the file."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        damaged = HarnessError(f"{path} is damaged ({why[:300]}): restore a copy of it, or {kind.without}")
        raise diagnosis.storage_error(error, path) or damaged from error


@contextlib.contextmanager
def waiting(what: object) -> Iterator[None]:
    """Tell the user, once, if the ``with`` block takes long: another program may hold the lock."""
    text = f"waiting for {what}: another program has locked it, or the disk is slow (for up to {PATIENCE:.0f} s)"
    timer = threading.Timer(SPEAK_AFTER, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
