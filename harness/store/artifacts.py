"""Where the files of runs lie: below the results folder, wherever that was moved, copied or mounted; or on a server.

MLflow stores whole addresses. Here only the end of an address counts, ``artifacts/SUITE/RUN/artifacts``: it is a place
in the results folder. A database in a results folder gets its new addresses when the harness next writes to it, so
that MLflow's own tools find the files, too.

Files on a server are fetched by MLflow's client when they are asked for, and kept in the cache folder with the digest
of each.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import cache_folder, write_bytes, write_json
from harness.store.addresses import connected
from harness.suite.declaration import NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "artifacts"
"""The folder of all runs' files in a results folder; and that of a run's files in its own folder."""
STORE = "mlflow.db"
"""The database of a results folder."""
INDEX = ".digests.json"
"""The digests and the lists of the files in a folder of the cache."""


def local_path(uri: str | None) -> Path | None:
    """The folder of an address; None if it is not on this machine."""
    if not uri:
        return None
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


def place(uri: str, run: str, results: Path, own: bool) -> Path | None:
    """The folder of a run's files; None if they are not on this machine.

    Args:
        uri: the address that the store has of it.
        run: the id of the run.
        results: the results folder.
        own: whether the database is that of the results folder; else several results folders may share it.
    """
    recorded = local_path(uri)
    if recorded is None:
        return None
    *base, folder, suite, owner, last = ("", "", "", *recorded.parts)
    if (folder, owner, last) != (FOLDER, run, FOLDER):
        return recorded
    here = results / FOLDER / suite / run / FOLDER
    if here.is_dir():
        return here
    # The recorded folder counts if another results folder shares this database. One that has a database of its own is
    # the original of a copy: a copy must not depend on it.
    shares = not own or not Path(*base, STORE).is_file()
    if not shares or (own and not recorded.is_dir()):
        return here
    return (
        recorded if recorded.is_dir() else _mounted(Path(*base), results, Path(folder, suite, owner, last)) or recorded
    )


def _mounted(base: Path, results: Path, inside: Path) -> Path | None:
    """A folder inside another results folder, if both lie on a disk that is mounted at different places.

    The disk is mounted at one of the folders above this results folder, and below it the other one has the same path
    as on its own machine. The id of the run in the path makes it certain that it is the same.
    """
    below = [Path(*base.parts[begin:]) for begin in range(1, len(base.parts))]
    return next((there for up in results.parents for end in below if (there := up / end / inside).is_dir()), None)


def settle(address: str, results: Path) -> None:
    """Write the present places into the database of a results folder that was moved or copied."""
    from sqlalchemy import text

    with connected(address) as connection:
        rows = connection.execute(text("SELECT experiment_id, artifact_location FROM experiments")).all()
        moved = []
        for number, uri in rows:
            recorded = local_path(uri)
            if recorded is not None and recorded.parent.name == FOLDER and recorded.parent != results / FOLDER:
                moved.append({"id": number, "uri": (results / FOLDER / recorded.name).as_uri()})
        if not moved:
            return
        connection.execute(text("UPDATE experiments SET artifact_location = :uri WHERE experiment_id = :id"), moved)
        found = []
        for run, uri in connection.execute(text("SELECT run_uuid, artifact_uri FROM runs")).all():
            now = place(uri, run, results, own=True)
            if now is not None and now != local_path(uri):
                found.append({"id": run, "uri": now.as_uri()})
        if found:
            connection.execute(text(_PUT), found)


def put(address: str, run: str, folder: Path) -> None:
    """Write the place of a run's files into a database: MLflow derives it from the place of the experiment."""
    from sqlalchemy import text

    with connected(address) as connection:
        connection.execute(text(_PUT), {"id": run, "uri": folder.as_uri()})


_PUT = "UPDATE runs SET artifact_uri = :uri WHERE run_uuid = :id"


def refuse_odd(run_id: str, tags: Mapping[str, str]) -> None:
    """Check what becomes the name of a folder here: the file that it comes from may be anybody's.

    Raises:
        HarnessError: it is no name that the harness gives.
    """
    named = (run_id, r"[0-9a-f]{32}"), (tags["key"], r"[0-9a-f]{16}"), (tags["suite"], NAME)
    for text, pattern in named:
        if not re.fullmatch(pattern, text):
            raise HarnessError(f"run {run_id}: {text!r} is no name that the harness gives: do not use this store")


class Fetched:
    """The files of one run on a server.

    Args:
        client: MLflow's client for the server.
        store: the address of the server, without a password.
        run: the id of the run.
        known: the SHA-256 of its files, by name, where they are known.
        failed: receives an error of the server.
    """

    def __init__(
        self, client: MlflowClient, store: str, run: str, known: Mapping[str, str], failed: Callable[[Exception], None]
    ) -> None:
        self.client = client
        self.run = run
        self.known = known
        self.failed = failed
        self.cache = cache_folder() / FOLDER / digests.of_text(f"{store} {run}")[:32]

    def file(self, name: str) -> Path | None:
        """The copy of a file in the cache, fetched if need be; None if there is no such file, or no answer.

        A file that is not as it was written is fetched again. If the server has it like that, that is what is given.
        """
        kept = self.kept(name)
        if kept is not None and self.known.get(name) in (None, digests.of_bytes(kept)):
            return self.cache / name
        path = self.cache / name
        with self._answering():
            with tempfile.TemporaryDirectory() as folder:
                content = Path(self.client.download_artifacts(self.run, name, folder)).read_bytes()
            write_bytes(path, content)
            self._remember(name, digests.of_bytes(content))
        return path if self.kept(name) is not None else None

    def folder(self, name: str) -> list[Path]:
        """The copies of the files in a folder, in the order of their names. A run that has ended gets no new ones."""
        names = self._index().get(f"{name}/")
        if names is None:
            with self._answering():
                names = sorted(info.path for info in self.client.list_artifacts(self.run, name) if not info.is_dir)
                self._remember(f"{name}/", names)
        return [path for path in map(self.file, names or ()) if path is not None]

    def kept(self, name: str) -> bytes | None:
        """The content of a file in the cache; None if it is not there, or damaged there."""
        try:
            content = (self.cache / name).read_bytes()
        except OSError:
            return None
        return content if self._index().get(name) == digests.of_bytes(content) else None

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of MLflow, requests, the client of a cloud, or the disk of the cache
            self.failed(error)

    def _index(self) -> dict[str, Any]:
        try:
            found = json.loads((self.cache / INDEX).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, name: str, value: Any) -> None:
        write_json(self.cache / INDEX, self._index() | {name: value})
