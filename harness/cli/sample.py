"""`harness sample`: images of a finished trial, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis import finding
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.store.runs import state

if TYPE_CHECKING:
    from harness.store.record import Record
    from harness.store.runs import Store


def sample(
    store: Store, word: str, seed: int | None, n: int, out: Path, device: str, by_class: bool, walk: bool
) -> str:
    """Draw images of a trial; see ``sampling.sample``. Returns what was done, in a sentence.

    Raises:
        HarnessError: there is no such trial, it has no weights, or it cannot be sampled so.
    """
    record = _record(store, word, seed)
    import torch

    from harness.analysis import sampling

    written = sampling.sample(record, n, out, torch.device(device), by_class, walk)
    return f"{written} images of {record.arm}, seed {record.seed}, in {out / sampling.SAMPLES}; a grid in {out}"


def _record(store: Store, word: str, seed: int | None) -> Record:
    """The first finished trial, or that of a seed."""
    runs = finding.trials(store, word)
    fitting = [run for run in runs if seed is None or run.data.tags["seed"] == str(seed)]
    if not fitting:
        seeds = ", ".join(dict.fromkeys(run.data.tags["seed"] for run in runs))
        raise HarnessError(f"{word} has no trial with the seed {seed} (seeds: {seeds})")
    done = [run for run in fitting if state(run) is State.DONE]
    if not done:
        states = ", ".join(f"seed {run.data.tags['seed']} {state(run)}" for run in fitting)
        raise HarnessError(f"no trial of {word} is done ({states}): `harness show` has the reasons")
    return store.record(done[0], done[0].data.tags["arm"], with_curves=False)
