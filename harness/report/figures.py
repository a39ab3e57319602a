"""The figures of a suite, drawn once: for the page, and as SVG and PNG files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.files import write_bytes
from harness.report import plots, tables, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.analysis.results import Results
    from harness.store.record import Record


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        arm: whose it is; "" for one of all arms.
        caption: what stands below it.
        stem: its file's name, without the ending; unique in the suite.
        description: what it shows, for those who cannot see it.
        figure: the drawing.
    """

    arm: str
    caption: str
    stem: str
    description: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG file of its own."""
        return plots.svg(self.figure)

    @property
    def inline(self) -> str:
        """The figure as an element of the page."""
        return plots.inline(self.svg, self.stem, self.description)


def draw(results: Results, shown: Sequence[str]) -> list[Drawing]:
    """The forest plot, where there are effects, then histograms and training curves of the arms that are shown."""
    colours = plots.colours(results.arms, results.baseline)
    stems = slugs(shown)
    curves = results.curves()
    panels = plots.panels(curves[curves["arm"].isin(shown)])
    last = int(curves["step"].max()) if len(curves) else 0
    found = list(_forest(results, colours))
    for arm in shown:
        found += _histograms(results.of(arm), arm, stems[arm], colours[arm])
        own = curves[curves["arm"] == arm]
        for panel in panels:
            if not own["name"].isin(panel.names).any():
                continue
            figure = plots.training(own, panel, colours[arm], last)
            seeds = words.count(len(results.of(arm)), "seed")
            text = f"{panel.title} of {arm} over training, mean and range over {seeds}"
            found.append(Drawing(arm, panel.title, f"{stems[arm]}-{slug(panel.title)}", text, figure))
    return found


def save(folder: Path, drawings: Sequence[Drawing], pictures: Mapping[str, Path]) -> None:
    """Write every drawing as SVG and PNG and every picture (by stem) as PNG; remove all others from the folder."""
    files = {f"{stem}.png": path.read_bytes() for stem, path in pictures.items()}
    for drawing in drawings:
        files[f"{drawing.stem}.svg"] = plots.on_white(drawing.svg, drawing.description).encode()
        files[f"{drawing.stem}.png"] = plots.png(drawing.figure)
    for name, content in files.items():
        write_bytes(folder / name, content)
    for old in [*folder.glob("*.svg"), *folder.glob("*.png")]:
        if old.name not in files:
            old.unlink()


def slugs(names: Sequence[str]) -> dict[str, str]:
    """A name for files of each, different for each: a letter or digit of ASCII is kept, anything else is a dash.

    Numbers set apart what would be the same. They are joined by an underscore, which no slug has.
    """
    found: dict[str, str] = {}
    for name in names:
        same = sum(slug(other) == slug(name) for other in found)
        found[name] = slug(name) + (f"_{same + 1}" if same else "")
    return found


def slug(name: str) -> str:
    """A name as a part of a file's name: lower case, digits and dashes, of a length that every system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80].rstrip("-") or "unnamed"


def _forest(results: Results, colours: Mapping[str, str]) -> Iterator[Drawing]:
    verdicts = [] if results.plan.suite.search is not None else results.verdicts()[: tables.SHOWN]
    meaning = results.values[results.metric]
    # Percent metrics are shares; the axis shows them in per cent, as the tables do.
    scale = 100.0 if meaning.percent else 1.0
    effects = [
        plots.Effect(v.arm, colours[v.arm], scale * v.effect, scale * v.low, scale * v.high, v.kind)
        for v in verdicts
        if v.n > 0
    ]
    if effects:
        label = meaning.label + (" (percentage points)" if meaning.percent else "")
        figure = plots.forest(effects, scale * results.delta(), label, meaning.better)
        told = "; ".join(
            f"{v.arm} {words.number(v.effect, meaning, signed=True)} ({words.interval_of(v, meaning)}), {v.kind}"
            for v in verdicts
            if v.n > 0
        )
        text = f"Effects on {meaning.label} against {results.baseline}: {told}"
        yield Drawing("", f"Effects against {results.baseline}", "forest", text, figure)


def _histograms(records: list[Record], arm: str, stem: str, colour: str) -> Iterator[Drawing]:
    """The arm's histograms, each over the seeds that recorded the same bins."""
    found = [record.read("histograms.json") for record in records]
    for title in words.unique(key for histograms in found for key in histograms):
        own: list[dict[str, Any]] = [histograms[title] for histograms in found if title in histograms]
        own = [histogram for histogram in own if histogram["bins"] == own[0]["bins"]]
        samples = [histogram["samples"] for histogram in own]
        figure = plots.histogram(own[0]["bins"], samples, own[0]["reference"], colour)
        shares = zip(own[0]["bins"], np.mean(samples, axis=0), strict=True)
        told = ", ".join(f"{label} {words.share(share, 1)}" for label, share in shares)
        marks = " (marks: training data)" if len(own[0]["bins"]) <= plots.MARKED else ""
        caption = f"{title.replace('_', ' ').capitalize()}{marks}"
        yield Drawing(arm, caption, f"{stem}-histogram-{slug(title)}", f"{title} of {arm}: {told[:600]}", figure)
