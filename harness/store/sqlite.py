"""The SQLite files of the stores: looked at before they are used, and waited for when locked.

SQLite keeps no checksums, so what is read from it as a result is sealed by whoever writes it (``digests.seal``). This
module sees to the file: its structure, and who made it. MLflow and Optuna would take up the files of their older
versions without a word, and leave them half-way when they are killed meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shlex
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlalchemy import URL, CreateEnginePlugin, Engine, ExceptionContext, event
from sqlalchemy.dialects import plugins

from harness.base import diagnosis, files
from harness.base.errors import HarnessError
from harness.base.messages import note

FORMAT = 2
"""Of what the harness writes into its stores; another number for every change that older code would misread."""
STAMP = "store"
PATIENCE = 300.0
"""Seconds that a write waits while another program holds the lock."""
SPEAK_AFTER = 5.0
"""Seconds after which it is said that one waits."""


@dataclass(frozen=True)
class Kind:
    """Whose file it is: the library, the folder of its migrations, its upgrade command, what moving it away costs."""

    library: str
    migrations: str
    upgrade: str
    without: str


MLFLOW = Kind(
    "mlflow",
    "store/db_migrations",
    "mlflow db upgrade {address}",
    "move it away: then every trial is trained anew",
)
OPTUNA = Kind(
    "optuna",
    "storages/_rdb/alembic",
    "optuna storage upgrade --storage {address}",
    "move it away: mlflow.db has the outcomes, the queue is made of them, and no finished trial is trained again",
)


def address(path: Path) -> str:
    """The address of a file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def patient(path: Path) -> str:
    """The address of a file under which to open it in this process: with time to wait for locks."""
    plugins.register(Patience.__name__, __name__, Patience.__name__)
    return elsewhere(path, plugin=Patience.__name__)


def elsewhere(path: Path, **query: str) -> str:
    """The address of a file under which another process is to open it, patient as far as SQLite alone is."""
    # With its driver named: of an address without, MLflow takes the folder to be what is written there, escapes and
    # all, and makes it.
    query["timeout"] = f"{PATIENCE:g}"
    return URL.create("sqlite+pysqlite", database=str(path), query=query).render_as_string()


class Patience(CreateEnginePlugin):
    """What an engine on a store needs, whichever library makes it: its address names this plug-in of SQLAlchemy's."""

    def update_url(self, url: URL) -> URL:
        """Nothing in the address is for this plug-in, but its name."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Have it wait for locks, and name its file in errors."""
        event.listen(engine, "before_cursor_execute", _be_patient, retval=True)
        event.listen(engine, "handle_error", _name_the_file)


def _be_patient(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> tuple[str, Any]:
    """MLflow sets a time of its own, of 20 s, at the begin of every session."""
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}"
    return statement, parameters


def _name_the_file(context: ExceptionContext) -> None:
    """SQLite's errors name no file: give them ``filename``, as an OSError has, for ``storage.refusal``."""
    if isinstance(context.original_exception, sqlite3.Error) and context.engine is not None:
        context.original_exception.filename = context.engine.url.database  # type: ignore[attr-defined]


def check(path: Path, kind: Kind) -> None:
    """Look at a file before its library does.

    Raises:
        HarnessError: it is damaged, or another version of the library or of the harness made it.
    """
    stamp = _stamp(path.parent)
    if stamp.get("format", FORMAT) > FORMAT:
        raise HarnessError(
            f"the store in {path.parent} has format {stamp['format']}, and this harness knows {FORMAT}: a newer one "
            "wrote it. `pip install --upgrade gan-harness`, or use another --results"
        )
    opened = f"{path.as_uri()}?mode=rw"
    with waiting(path), reading(path, kind), contextlib.closing(sqlite3.connect(opened, PATIENCE, uri=True)) as file:
        found = [row[0] for row in file.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(map(str, found)))
        [[revision]] = file.execute("SELECT version_num FROM alembic_version").fetchall()
    # To look through all migrations takes a second, which most commands do not.
    if stamp.get(kind.library) != _made_by(kind, revision) and revision not in _scripts(kind).get_heads():
        raise _other_version(path, kind, str(revision))


def stamp(results: Path) -> None:
    """Note in a results folder whose stores it holds: they were checked."""
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
    """What ``stamp`` noted; nothing in a store from before there were notes, which has format 1."""
    content = files.read_sealed(results / STAMP, "the stores are looked at more closely, and it is written anew")
    found: dict[str, Any] = json.loads(content or b"{}")
    return found


def _made_by(kind: Kind, revision: object) -> list[str]:
    return [metadata.version(kind.library), str(revision)]


def _scripts(kind: Kind) -> Any:
    from alembic.script import ScriptDirectory

    [folder] = importlib.util.find_spec(kind.library).submodule_search_locations  # type: ignore[union-attr, misc]
    return ScriptDirectory(str(Path(folder) / kind.migrations))


def _other_version(path: Path, kind: Kind, revision: str) -> HarnessError:
    installed = f"{kind.library} {metadata.version(kind.library)}"
    if any(script.revision == revision for script in _scripts(kind).walk_revisions()):
        command = kind.upgrade.format(address=shlex.quote(address(path)))
        return HarnessError(
            f"{path} was made by an older version of {kind.library} (revision {revision}), and {installed} needs "
            f"another form: keep a copy of it, then run `{command}`"
        )
    return HarnessError(
        f"{path} is of a revision that {installed} does not know ({revision}): a newer version made it. "
        f"`pip install --upgrade {kind.library}`, or use another --results"
    )


@contextlib.contextmanager
def reading(path: Path, kind: Kind) -> Iterator[None]:
    """Whatever a damaged value makes of a library's reading, the user is told which file is at fault."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        damaged = HarnessError(f"{path} is damaged ({why[:300]}): restore a copy of it, or {kind.without}")
        raise diagnosis.refusal(error, path) or damaged from error


@contextlib.contextmanager
def waiting(what: object) -> Iterator[None]:
    """Say so, once, if what is done here takes long: another program may hold the lock."""
    text = f"waiting for {what}: another program has locked it, or the disk is slow (for up to {PATIENCE:.0f} s)"
    timer = threading.Timer(SPEAK_AFTER, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
