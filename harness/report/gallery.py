"""What the page shows of each arm: the samples of all its seeds, real images, other pictures, and its figures."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.report import artifacts, figures, plots, words
from harness.report.figures import Drawing

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.report.artifacts import Picture
    from harness.store.record import Record

SEEDS = 12
"""Seeds of an arm whose last samples the page shows."""
SEED_BYTES = 3_600_000
"""The limit for the last samples of all seeds, and real images beside them, in bytes before base64."""
GRID_BYTES = 2_400_000
"""The limit for all samples during training."""
PICTURE_BYTES = 2_400_000
"""The limit for all other pictures of models."""
SMALLEST, LARGEST = 200, 480
"""The width of such a picture on the page, in pixels: small ones are enlarged by a whole factor."""
ENDS: dict[str | None, str] = {"lowest": "floor", "highest": "ceiling"}
"""What the limits of a metric are called."""


@dataclass(frozen=True)
class Image:
    """A picture on the page: caption, file, and its shown size in pixels."""

    caption: str
    path: Path
    width: int
    height: int
    smooth: bool
    """Whether the page shows it smaller than its file is."""

    @functools.cached_property
    def uri(self) -> str:
        """The file as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Seed:
    """A trial on the page.

    Attributes:
        seed: its seed.
        run_id: the id of its MLflow run.
        state: how it ended.
        samples: its last samples; None if it has none, or if there was no room for them.
    """

    seed: int
    run_id: str
    state: str
    samples: Image | None


@dataclass(frozen=True)
class Card:
    """The section of one arm on the page.

    Attributes:
        arm: its name.
        stem: its name in anchors and in names of files.
        colour: the name of its colour.
        baseline: whether it is the baseline.
        made_of: its model, tricks and data.
        outcome: how its trials ended, and the metrics at whose limits they are.
        points: whether samples are points in the plane; otherwise they are tiles of pixels.
        seeds: its first ``SEEDS`` trials.
        more: the number of its other trials.
        real: real images, drawn as samples are.
        first: the seed whose samples during training are shown.
        grids: these samples.
        snapshots: all grids of that seed, of which ``grids`` are some.
        plain_real: the file of ``real``.
        shown_seed: the seed whose pictures are shown.
        pictures: other pictures of its model.
        left_out: the number of pictures that exceed the limit of the page.
        figures: its figures.
    """

    arm: str
    stem: str
    colour: str
    baseline: bool
    made_of: str
    outcome: str
    points: bool
    seeds: list[Seed]
    more: int
    real: Image | None
    first: int
    grids: list[Image]
    snapshots: list[Picture]
    plain_real: Picture | None
    shown_seed: int
    pictures: list[Image]
    left_out: int
    figures: list[Drawing]

    @property
    def files(self) -> dict[str, Path]:
        """Stem of the copy -> file, for all pictures that the page shows of it."""
        found = {f"seed-{one.seed}": one.samples.path for one in self.seeds if one.samples}
        found |= {figures.slug(grid.caption): grid.path for grid in self.grids}
        found = {f"samples-{name}": path for name, path in found.items()}
        found |= {"real": self.real.path} if self.real else {}
        found |= {f"picture-{figures.slug(picture.caption)}": picture.path for picture in self.pictures}
        return {f"{self.stem}-{name}": path for name, path in found.items()}


def cards(results: Results, shown: Sequence[str], drawings: Sequence[Drawing]) -> list[Card]:
    """The sections of these arms."""
    baseline = (results.judged or results).baseline
    colours, stems = plots.colours(results.arms, baseline), figures.slugs(shown)
    return [
        _card(
            results,
            arm,
            stems[arm],
            colours[arm],
            arm == baseline,
            [drawing for drawing in drawings if drawing.arm == arm],
            len(shown),
        )
        for arm in shown
    ]


def _card(
    results: Results, arm: str, stem: str, colour: str, baseline: bool, drawings: list[Drawing], arms: int
) -> Card:
    """The section of an arm, one of so many."""
    records = results.of(arm)
    first, snapshots = _first_with(artifacts.grids, records)
    during = [grid for grid in snapshots if grid.caption != artifacts.END]
    pictured, pictures = _first_with(artifacts.pictures, records)
    fitting = artifacts.fitting(pictures, PICTURE_BYTES // arms)
    real = artifacts.real(first)
    return Card(
        arm=arm,
        stem=stem,
        colour=colour,
        baseline=baseline,
        made_of=" + ".join(filter(None, (records[0].model, records[0].tricks))) + f" on {records[0].data}",
        outcome=". ".join([_outcome(records), *_at_limits(results, arm)]),
        points=_points(first),
        seeds=_seeds(records[:SEEDS], SEED_BYTES // arms - (real.size if real else 0)),
        more=len(records[SEEDS:]),
        real=image(real) if real else None,
        first=first.seed,
        grids=[image(grid) for grid in artifacts.thinned(during, GRID_BYTES // arms)],
        snapshots=snapshots,
        plain_real=real,
        shown_seed=pictured.seed,
        pictures=[image(picture, _shown_width(picture)) for picture in fitting],
        left_out=len(pictures) - len(fitting),
        figures=drawings,
    )


def _seeds(records: Sequence[Record], budget: int) -> list[Seed]:
    """The trials with their last samples, of so many bytes together; those of the first are always shown."""
    last = [artifacts.last(record) for record in records]
    some = [picture for picture in last if picture]
    room = some[:1] + artifacts.fitting(some[1:], budget - (some[0].size if some else 0))
    return [
        Seed(record.seed, record.run_id, record.state, image(picture) if picture and picture in room else None)
        for record, picture in zip(records, last, strict=True)
    ]


def image(picture: Picture, width: int = 0) -> Image:
    """A picture in its own size, or with another width in pixels."""
    width = width or picture.width
    height = round(picture.height * width / picture.width)
    return Image(picture.caption, picture.path, width, height, width < picture.width)


def _first_with(of: Callable[[Record], list[Picture]], records: Sequence[Record]) -> tuple[Record, list[Picture]]:
    """The first record with such pictures, and the pictures; if no record has any, the first record and []."""
    found = ((record, of(record)) for record in records)
    return next((pair for pair in found if pair[1]), (records[0], []))


def _outcome(records: list[Record]) -> str:
    """The number of an arm's trials and failures, the interval of the failure rate, and the median duration."""
    failed = sum(not record.done for record in records)
    seconds = np.median([record.seconds_train for record in records])
    text = f"{words.count(len(records), 'trial')}, {seconds:.0f} s of training each (median)"
    return text + (f"; failed: {words.failures(failed, len(records))}" if failed else "; none failed")


def _at_limits(results: Results, arm: str) -> list[str]:
    """What to know of the metrics at whose ceiling or floor all seeds of an arm are; each limit in a sentence."""
    found: dict[str, list[str]] = {}
    for column, meaning in results.values.items():
        limit = results.limit(arm, column)
        if limit in ENDS:
            value = words.number(next(v for v in results.comparable(arm, column).values() if np.isfinite(v)), meaning)
            found.setdefault(ENDS[limit], []).append(f"{meaning.label} ({value})")
    n = sum(record.done for record in results.of(arm))
    subject = f"{words.all_seeds(n).capitalize()} {'is' if n == 1 else 'are'}"
    return [f"{subject} at the {end} of {words.listed(labels)}" for end, labels in found.items()]


def _shown_width(picture: Picture) -> int:
    return min(picture.width * max(1, round(SMALLEST / max(picture.width, 1))), LARGEST)


def _points(record: Record) -> bool:
    """Whether the data of a trial are points in the plane."""
    from harness.base.errors import HarnessError
    from harness.zoo import registry

    try:
        plugin = registry.find("data", record.data).plugin
    except HarnessError:
        return False
    return bool(plugin is not None and plugin.points)
