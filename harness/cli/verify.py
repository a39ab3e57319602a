"""`harness verify`: what fresh seeds say of a published arm, in lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import HarnessError
from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.analysis.verification import Compared, Values, Verification
    from harness.metrics.base import Value

FOLDER = "verify"
"""The folder in a results folder with the store of fresh seeds: they change no report."""


def named(text: str) -> tuple[Path, str]:
    """The published folder and the arm that ``FOLDER#ARM`` names.

    Raises:
        HarnessError: the text names no arm.
    """
    folder, _, arm = text.partition("#")
    if not folder or not arm:
        raise HarnessError(f"{text}: expected FOLDER#ARM, for example 'results/published/collapse#slow discriminator'")
    return Path(folder), arm


def told(found: Verification, published: Results) -> Iterator[str]:
    """The answers, the one on the whole last."""
    meaning = published.values[found.metric]
    for own in found.values:
        yield f"{own.arm}: {_values(own, meaning)}: {own.answer}"
    for compared in found.compared:
        yield f"{compared.arm} against {compared.baseline}: {_compared(compared, meaning)}: {compared.answer}"
    yield found.answer


def _values(own: Values, meaning: Value) -> str:
    text = f"{meaning.label} published {_mean(own.published, meaning)}, fresh {_mean(own.fresh, meaning)}"
    if inside := words.bounds(own.low, own.high, meaning):
        text += f", expected {inside} (95 %)"
    if own.why:
        return f"{text}; not compared, because the protocols differ ({'; '.join(own.why)})"
    return text


def _mean(values: Mapping[int, float], meaning: Value) -> str:
    finished = [value for value in values.values() if np.isfinite(value)]
    failed = len(values) - len(finished)
    seeds = words.count(len(values), "seed") + (f", {failed} failed" if failed else "")
    return f"{words.number(float(np.mean(finished)) if finished else np.nan, meaning)} ({seeds})"


def _compared(own: Compared, meaning: Value) -> str:
    if own.fresh is None:
        return f"published {own.published}, no fresh verdict"
    figures = f"{words.told(own.fresh.effect, meaning)}, {words.interval_of(own.fresh, meaning)}"
    return f"published {own.published}, fresh {own.fresh.kind} ({figures}, {words.seeds_of(own.fresh)})"
