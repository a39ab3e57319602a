"""A finished trial as a plain row: the store returns it, tables are made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.store.artifacts import Fetched
from harness.trial.task import MODEL, WEIGHTS


@dataclass(frozen=True)
class Record:
    """One trial with an outcome.

    Attributes:
        key: the trial's key.
        arm: the arm's name.
        model: the model's name.
        tricks: the tricks' names, "a + b", or "" for none.
        data: the data set's name.
        seed: the seed.
        state: how it ended.
        reason: why it is not done; "" if it is.
        seconds_train: wall-clock seconds of training.
        seconds_evaluate: wall-clock seconds of evaluation.
        values: the values of the metrics, by column; empty unless done. A column is missing if its metric requires
            what the model does not offer.
        run_id: the id of the MLflow run.
        curves: (name, step, value) of all scalars that were recorded in training.
        artifacts: the folder with sample grids, pictures, histograms.json, protocol.json, floors.json and config.json,
            or None if it is not on this machine. Read files with ``read``, ``file`` and ``folder``, which also fetch
            them from a server.
        environment: git commit, device, precision, threads, versions, …
        files: the SHA-256 of each of its artifacts, by path, if known.
        parts: the code that computed its values, definition -> digest; if a change was accepted, the current code.
        other_code: the modules in which that code differs from the current code; empty if it does not differ.
        vouched: the modules whose change was accepted as one that changes no number.
        fetched: its files, if they lie on a server.
    """

    key: str
    arm: str
    model: str
    tricks: str
    data: str
    seed: int
    state: State
    reason: str
    seconds_train: float
    seconds_evaluate: float
    values: dict[str, float]
    run_id: str
    curves: list[tuple[str, int, float]]
    artifacts: Path | None
    environment: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    other_code: tuple[str, ...] = ()
    vouched: tuple[str, ...] = ()
    fetched: Fetched | None = field(default=None, compare=False, repr=False)

    @property
    def commit(self) -> str:
        """The git commit of the harness that trained it, or "unknown"."""
        return self.environment.get("git_commit", "unknown")

    def file(self, name: str) -> Path | None:
        """The path of one of its files; None if the file is not at hand."""
        if self.fetched is not None:
            return self.fetched.file(name)
        return self.artifacts / name if self.artifacts is not None else None

    @property
    def weights(self) -> Path | None:
        """The file with the weights that generate samples; None if it is not at hand. Older runs have it elsewhere."""
        inside = f"{MODEL}/{WEIGHTS}"
        return self.file(inside if inside in self.files else WEIGHTS)

    def folder(self, name: str) -> list[Path]:
        """The files in one of its folders, in the order of their names."""
        if self.fetched is not None:
            return self.fetched.folder(name)
        return sorted((self.artifacts / name).glob("*")) if self.artifacts is not None else []

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the trial; empty if it is missing or not a mapping.

        Raises:
            HarnessError: the file was changed after it was written.
        """
        path = self.file(name)
        try:
            content = path.read_bytes() if path is not None else b""
        except OSError:
            return {}
        if path is not None and self.files.get(name) not in (None, digests.of_bytes(content)):
            raise HarnessError(
                f"{path} was edited or damaged after the run {self.run_id} ended (its SHA-256 differs): restore a copy "
                "of it, or run `harness run`, which trains the trial again"
            )
        try:
            value = json.loads(content)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """What ``protocol.json`` has, read once; see ``read``."""
        return self.read("protocol.json")

    @property
    def done(self) -> bool:
        """Whether it has values."""
        return self.state is State.DONE
