"""Finds trials in a store by what a user calls them: the beginning of a key or MLflow id, or the name of an arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError
from harness.base.validation import lines_of, nearest, shown
from harness.store.runs import speaking

if TYPE_CHECKING:
    from harness.store.runs import Store
    from harness.store.stored import Run


def beginning(runs: Sequence[Run], text: str) -> list[Run]:
    """The runs whose MLflow id begins with ``text``, and those that count for the trials whose keys do."""
    ids = [run for run in runs if text and run.info.run_id.startswith(text)]
    keys = dict.fromkeys(key for run in runs if text and (key := _key(run)).startswith(text))
    return list({run.info.run_id: run for run in [*ids, *(_of_key(runs, key) for key in keys)]}.values())


def trials(store: Store, word: str) -> list[Run]:
    """The trial whose key or MLflow id begins with ``word``, or all trials of the arm of this name, by seed.

    Raises:
        HarnessError: the store has none, or several whose keys begin so.
    """
    runs = store.runs() if store.exists else []
    if not runs:
        raise HarnessError(f"the store in {store.results} holds no run: `harness run SUITE` creates some")
    keys = dict.fromkeys(_key(run) for run in runs if run.data.tags.get("arm") == word)
    if keys:
        found = [_of_key(runs, key) for key in keys]
        return sorted(found, key=lambda run: (run.info.artifact_uri.split("/")[:-2], int(run.data.tags["seed"])))
    found = beginning(runs, word)
    if len(found) > 1:
        known = ", ".join(_key(run) for run in found[:5])
        raise HarnessError(f"{shown(word)} begins {len(found)} trials ({known}, …): give more characters")
    if not found:
        arms = sorted({run.data.tags.get("arm", "") for run in runs})
        raise HarnessError(
            f"the store in {store.results} has no arm {shown(word)} and no trial whose key begins so"
            f"{nearest(word, arms)}; its arms are",
            *lines_of(arms),
        )
    return found


def _key(run: Run) -> str:
    return run.data.tags.get("key", "")


def _of_key(runs: Sequence[Run], key: str) -> Run:
    """The run that counts for a trial."""
    return speaking(run for run in runs if _key(run) == key)
