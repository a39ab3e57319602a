"""Upgrades a store of an older harness: adds the hash of their settings to its runs.

Older runs have one key for settings and code together, which later code cannot compute again. Here the settings are
found from the run's params and its protocol. Reports then show the run as a result of other code.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import judge
from harness.base.errors import HarnessError
from harness.store import identity, seals
from harness.store.runs import Store, state
from harness.suite import Evaluate, Train
from harness.suite.plan import Arm, Trial
from harness.suite.plan import trial as planned
from harness.zoo.registry import ChoiceError, choose

if TYPE_CHECKING:
    from harness.store.stored import Run

LITERALS = {"True": True, "False": False, "None": None}


def upgrade(store: Store) -> tuple[int, dict[str, list[str]]]:
    """Upgrade every old run that has ended.

    Returns:
        The number of upgraded runs; and why others could not be upgraded, reason -> ids of runs.
    """
    brought, left = 0, dict[str, list[str]]()
    for run in store.runs():
        if identity.SETTINGS in run.data.tags or not state(run).own:
            continue
        try:
            trial = _trial(store, run)
        except HarnessError as error:
            left.setdefault(str(error), []).append(run.info.run_id)
            continue
        new = {identity.SETTINGS: trial.settings, identity.CODE: identity.UNKNOWN}
        for name, value in (new | seals.again(run.data.tags | new, run.data.metrics)).items():
            store.client.set_tag(run.info.run_id, name, value)
        brought += 1
    return brought, left


def copied(store: Store) -> Path | None:
    """Copy the store's database to a new file beside it; None if the store is a server.

    Raises:
        HarnessError: the copy cannot be written.
    """
    if store.file is None:
        return None
    names = (store.file.with_name(f"{store.file.name}.before-upgrade{n or ''}") for n in range(1000))
    path = next(name for name in names if not name.exists())
    try:
        with (
            contextlib.closing(sqlite3.connect(store.file)) as source,
            contextlib.closing(sqlite3.connect(path)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise HarnessError(f"{path} cannot be written ({error}): nothing was changed") from error
    return path


def _trial(store: Store, run: Run) -> Trial:
    """The trial of an old run. Its data and judges must have the same digests today.

    Raises:
        HarnessError: the trial cannot be determined.
    """
    config = _nested(run.data.params)
    try:
        arm = Arm(
            name="",
            model=choose("models", config["model"]),
            tricks=tuple(choose("tricks", trick) for trick in config["tricks"]),
            data=choose("data", config["data"]),
            train=Train.model_validate(config["train"]),
            evaluate=Evaluate.model_validate(config["evaluate"]),
        )
    except (ChoiceError, ValueError, KeyError, TypeError) as error:
        raise HarnessError("this version of the harness does not accept its settings") from error
    recorded = store.record(run, "", with_curves=False).read("protocol.json")
    if not recorded:
        raise HarnessError("its protocol.json is missing")
    wanted = {"data_hash": arm.data.make().digest()[:16]}
    if arm.evaluate.features in judge.names():
        wanted["features_hash"] = judge.digest(arm.evaluate.features)[:16]
    for fields in recorded.values():
        if any(fields.get(name) != digest for name, digest in wanted.items()):
            raise HarnessError("its data or its judge have changed")
    return planned(arm, int(run.data.tags["seed"]))


def _nested(params: Mapping[str, str]) -> dict[str, Any]:
    """Nested settings from MLflow's params, which have dotted names and text values."""
    nested: dict[str, Any] = {}
    for path, text in params.items():
        at, (*above, last) = nested, path.split(".")
        for name in above:
            at = at.setdefault(name, {})
        at[last] = _value(text)
    return nested


def _value(text: str) -> Any:
    if text in LITERALS:
        return LITERALS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text
