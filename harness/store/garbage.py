"""What can be deleted in a results folder without losing a result, and how large it is."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.base.errors import HarnessError
from harness.store import artifacts, identity, journal
from harness.store.addresses import connected
from harness.store.folders import Folders
from harness.store.runs import Store, state

Kind = Literal["checkpoints", "work", "artifacts", "cache", "smoke"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANINGS: dict[Kind, str] = {
    "checkpoints": "work folders of trials that are done",
    "work": "work folders of trials that the store does not know: they would be trained from their checkpoints",
    "artifacts": "files of runs that were deleted in MLflow: they can then no longer be restored",
    "cache": "reference features and what was read of the databases: all of it is made again when needed",
    "smoke": "everything of smoke tests",
}


@dataclass(frozen=True)
class Garbage:
    """Files and folders of one kind that can be deleted; ``size`` is in bytes."""

    kind: Kind
    paths: tuple[Path, ...]
    size: int


def found(store: Store, kinds: Sequence[Kind] = KINDS) -> list[Garbage]:
    """What can be deleted of these kinds, in their order; kinds without any are left out.

    The caller holds the lock of the folder. Trials that a cluster still trains are no garbage: they have a journal.

    Raises:
        HarnessError: the store does not answer, or is damaged: then nothing is known to be garbage.
    """
    folders = Folders(store.results)
    work = _of_work(store, folders.work) if {"checkpoints", "work"} & set(kinds) else {}
    paths: dict[Kind, list[Path]] = {
        "checkpoints": work.get("checkpoints", []),
        "work": work.get("work", []),
        "artifacts": list(_deleted(store)) if "artifacts" in kinds else [],
        "cache": sorted(folders.cache.glob("*")),
        "smoke": [path for path in [store.results / "smoke"] if path.is_dir()],
    }
    every = (Garbage(kind, tuple(paths[kind]), sum(map(_size, paths[kind]))) for kind in KINDS if kind in kinds)
    return [each for each in every if each.paths]


def delete(garbage: Sequence[Garbage]) -> None:
    """Delete it.

    Raises:
        HarnessError: something cannot be deleted; what comes before it is gone.
    """
    for path in (path for each in garbage for path in each.paths):
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except OSError as error:
            raise HarnessError(f"{path} cannot be deleted ({error})") from error


def _of_work(store: Store, work: Path) -> dict[Kind, list[Path]]:
    """Kind -> the work folders of it. Those of interrupted trials and undelivered journals are needed."""
    trials = [path for path in sorted(work.glob("*")) if re.fullmatch(r"[0-9a-f]{16}", path.name) and path.is_dir()]
    if not trials:
        return {}
    runs = store.runs() if store.exists else []
    known = {key for run in runs for key in identity.keys(run.data.tags)}
    settled = {key for run in runs if state(run).settled for key in identity.keys(run.data.tags)}
    waiting = {path.parent for path in journal.files(work)}
    return {
        "checkpoints": [path for path in trials if path.name in settled],
        "work": [path for path in trials if path.name not in known and path not in waiting],
    }


def _deleted(store: Store) -> Iterator[Path]:
    """The folders of runs that are not in the folder's own database, or that were deleted there."""
    folders = [path for path in sorted((store.results / artifacts.FOLDER).glob("*/*")) if path.is_dir()]
    if not folders or not store.own or not store.exists:  # another database may know them
        return
    from sqlalchemy import text

    with store.answering(), connected(store.address) as connection:
        active = set(connection.execute(text(_ACTIVE)).scalars())
    yield from (path for path in folders if re.fullmatch(r"[0-9a-f]{32}", path.name) and path.name not in active)


_ACTIVE = (
    "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) "
    "WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    size = 0
    for each in [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]:
        with contextlib.suppress(OSError):  # it has just gone
            size += each.lstat().st_size if not each.is_dir() else 0
    return size
