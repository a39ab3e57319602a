"""`harness show`: what the store knows of a trial, or of all trials of an arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.analysis import finding
from harness.base.messages import visible
from harness.base.states import State
from harness.cli.progress import duration
from harness.report import artifacts
from harness.store.runs import flat, standing
from harness.trial.task import TRACEBACK

if TYPE_CHECKING:
    from harness.store.record import Record
    from harness.store.runs import Store
    from harness.store.stored import Run


def show(store: Store, word: str) -> list[str]:
    """The lines about a trial (the beginning of its key or MLflow id), or about the trials of an arm.

    The settings stand once above the trials that share them.

    Raises:
        HarnessError: the store has no such trial or arm.
    """
    lines: list[str] = []
    for settings, runs in groupby(finding.trials(store, word), _settings):
        alike = list(runs)
        lines += [*([""] if lines else []), alike[0].data.tags["arm"], *_section("settings", settings)]
        for run in alike:
            lines += ["", *_trial(store, run)]
    return [visible(line) for line in lines]


def _settings(run: Run) -> dict[str, str]:
    """The settings of a trial without its seed."""
    return {name: value for name, value in sorted(run.data.params.items()) if name != "seed"}


def _trial(store: Store, run: Run) -> Iterator[str]:
    """The lines about a trial, without its settings."""
    tags, stands = run.data.tags, standing(run)
    yield f"seed {tags['seed']}   key {tags['key']}   MLflow run {run.info.run_id}"
    yield f"  state: {stands.state}{f': {stands.reason}' if stands.reason else ''}"
    if stands.state is State.ALTERED:  # nothing of it can be relied on
        return
    record = store.record(run, tags["arm"], with_curves=False)
    times = [f"{word} {duration(t)}" for word, t in _times(record) if t]
    yield from [f"  time: {', '.join(times)}"] if times else []
    yield from _indented("values", {name: f"{value:.6g}" for name, value in record.values.items()})
    yield from _indented("protocol", dict(flat(record.protocol)))
    yield from _indented("machine", record.environment)
    images = [*artifacts.grids(record), *artifacts.pictures(record)]
    yield from _indented("images", {image.caption: str(image.path) for image in images})
    yield from _traceback(record)


def _times(record: Record) -> list[tuple[str, float]]:
    return [("training", record.seconds_train), ("evaluation", record.seconds_evaluate)]


def _traceback(record: Record) -> Iterator[str]:
    """Where the code of a failed trial failed, if it was kept."""
    path = record.file(TRACEBACK) if not record.done else None
    if path is not None and path.is_file():
        yield f"  traceback: {path}"
        yield from (f"    {line}" for line in path.read_text(encoding="utf-8", errors="replace").splitlines())


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    """A heading, and a line for each value."""
    return [f"{title}:", *(f"  {name} = {value}" for name, value in values.items())] if values else []


def _indented(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    return (f"  {line}" for line in _section(title, values))
