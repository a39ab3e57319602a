"""What `harness noise` says: its table, its sentences and its CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from harness.analysis.noise import SOURCES, TRAINING
from harness.base import terminal
from harness.base.files import write_bytes
from harness.base.messages import visible
from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.crossing import Sources
    from harness.analysis.noise import Noise, Pairing, Part
    from harness.metrics.base import Value

NAMES = {
    "weights": "initialisation",
    "order": "data order",
    "latents": "training latents",
    "interactions": "interactions",
    "evaluation": "evaluation",
}
"""How the sources are called; docs/noise.md says which random numbers belong to each."""
SMALL, LARGE = 0.1, 0.5
"""Evaluation is small if it is surely below this share of the variance, and large if it is surely above."""
NAME = "noise.csv"


def write(found: Sources, folder: Path) -> Path:
    """Write ``noise.csv``: a row per arm, value and source, or their total, and per pairing with the baseline."""
    rows = [*_components(found), *_pairings(found)]
    columns = ["arm", "paired_with", "value", "source", "variance", "variance_low", "variance_high"]
    columns += ["share", "share_low", "share_high", "mean", "trials", "evaluations"]
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=columns).astype({"trials": "Int64", "evaluations": "Int64"})
    write_bytes(path, table.to_csv(index=False).encode())
    return path


def _components(found: Sources) -> Iterator[dict[str, object]]:
    for arm, columns in found.arms.items():
        for column, noise in columns.items():
            if noise is None:
                continue
            own = {"arm": arm, "value": column, "mean": noise.mean}
            own |= {"trials": noise.trials, "evaluations": noise.evaluations}
            for source in SOURCES:
                parts = _bounds("variance", noise.components[source]) | _bounds("share", noise.shares[source])
                yield own | {"source": source} | parts
            yield own | {"source": "total"} | _bounds("variance", noise.total)


def _pairings(found: Sources) -> Iterator[dict[str, object]]:
    for (arm, column), pairing in found.pairings.items():
        for source, part in {**pairing.by, "all": pairing.whole}.items():
            own = {"arm": arm, "paired_with": found.crossing.baseline, "value": column, "source": source}
            yield own | _bounds("share", part)


def _bounds(name: str, part: Part) -> dict[str, object]:
    return {name: part.value, f"{name}_low": part.low, f"{name}_high": part.high}


def console(found: Sources, path: Path) -> None:
    """Print the table, what follows from it for the first value, and what was left out."""
    shown = terminal.console()
    shown.print(_table(found))

    def say(text: str, style: str = "") -> None:
        shown.print(Text(visible(text), style=style), soft_wrap=True)

    for text in conclusions(found):
        say(f"  {text}")
    for text in found.left_out:
        say(f"  left out: {text}", "yellow")
    say(f"table: {path}", "dim")


def _table(found: Sources) -> Table:
    """A row for each value and arm: standard deviation over seeds, and the share of each source with its interval."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(found.crossing.suite), title_justify="left")
    for head in ("value", "arm"):
        table.add_column(head, overflow="fold")
    for head in ("mean", "sd", *NAMES.values()):
        table.add_column(head, justify="right")
    for column, meaning in found.meanings.items():
        for arm, columns in found.arms.items():
            if column in columns:
                table.add_row(Text(meaning.label), Text(arm), *_cells(columns[column], meaning))
    return table


def _cells(noise: Noise | None, meaning: Value) -> list[str]:
    """The cells of a row; dashes if there are no components."""
    if noise is None:
        return [words.NOTHING] * (2 + len(NAMES))
    own = [words.number(noise.mean, meaning), words.number(math.sqrt(noise.total.value), meaning)]
    return own + [f"{words.share(p.value)}\n{_range(p)}" for p in (noise.shares[source] for source in NAMES)]


def _range(part: Part) -> str:
    return f"{words.share(part.low).removesuffix(' %')} to {words.share(part.high)}"


def _with_range(part: Part) -> str:
    return f"{words.share(part.value)} ({_range(part)})".replace("-", "−")


def conclusions(found: Sources) -> list[str]:
    """What follows for the first value, in plain sentences: for each arm, and for its pairing with the baseline."""
    column, meaning = next(iter(found.meanings.items()))
    texts = []
    for arm, columns in found.arms.items():
        if (noise := columns.get(column)) is None:
            texts.append(f"{arm}: {meaning.label} cannot be split: too few trials have it, or all are the same.")
            continue
        texts.append(f"{arm}: {_evaluation(noise, meaning, found.samples(arm))}")
        texts.append(f"{arm}: {_training(noise)}")
    for (arm, of), pairing in found.pairings.items():
        if of == column:
            texts.append(_pairing(pairing, arm, found.crossing.baseline, meaning))
    return texts


def _evaluation(noise: Noise, meaning: Value, samples: int) -> str:
    """Whether the number of samples is right, if the variance of an evaluation falls as one over it."""
    share = noise.shares["evaluation"]
    text = f"evaluation is {_with_range(share)} of the variance of {meaning.label}"
    if share.high < SMALL:
        more = words.share(share.high, 1)
        return f"{text}: {samples // 2} samples in place of {samples} would do (at most {more} more variance)."
    gain = f"would take away about {words.share(share.value / 2)} of the variance"
    if share.low > LARGE:
        return f"{text}: more samples pay, {2 * samples} in place of {samples} {gain}."
    return f"{text}: {2 * samples} samples in place of {samples} {gain}."


def _training(noise: Noise) -> str:
    """Which stream of the training matters, as far as that is sure."""
    sure = [stream for stream in TRAINING if noise.shares[stream].low > 0]
    texts = [f"{NAMES[stream]} alone is {_with_range(noise.shares[stream])}" for stream in sure]
    if rest := [NAMES[stream] for stream in TRAINING if stream not in sure]:
        most = max(noise.shares[stream].high for stream in TRAINING if stream not in sure)
        texts.append(f"{words.listed(rest)} alone: no effect is shown, at most {words.share(most)}")
    together = noise.shares["interactions"]
    return f"{'; '.join(texts)}; {_with_range(together)} belongs to no single stream (interactions)."


def _pairing(pairing: Pairing, arm: str, baseline: str, meaning: Value) -> str:
    """What pairing by the seed removes, and by which stream most of it."""
    what = f"of the variance of their difference in {meaning.label}"
    stream = max(TRAINING, key=lambda one: pairing.by[one].value)
    alone = f"by {NAMES[stream]} alone {_with_range(pairing.by[stream])}"
    if pairing.whole.low > 0:
        return f"Pairing {arm} with {baseline} by the seed removes {_with_range(pairing.whole)} {what}; {alone}."
    if pairing.whole.high < 0:
        return f"Pairing {arm} with {baseline} by the seed adds to the variance: {_with_range(pairing.whole)} {what}."
    return (
        f"It is not shown that pairing {arm} with {baseline} by the seed removes anything {what}: "
        f"{_with_range(pairing.whole)}; {alone}."
    )
