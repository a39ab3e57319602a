"""The figures of a suite. Each is drawn once, for the page and for its SVG and PNG files."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base import digests
from harness.base.files import write_bytes, write_json
from harness.report import plots, tables, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.analysis.results import Results
    from harness.store.record import Record

WRITTEN = ".written.json"
"""The list of the figures that a report wrote, in their folder."""


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        arm: the arm that it shows; "" for all arms.
        caption: the text below it.
        stem: its file name without the extension; unique in the suite.
        description: what it shows, for screen readers.
        figure: the matplotlib figure.
    """

    arm: str
    caption: str
    stem: str
    description: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as the text of an SVG file."""
        return plots.svg(self.figure)

    @property
    def inline(self) -> str:
        """The figure as an element of the page."""
        return plots.inline(self.svg, self.stem, self.description)


def draw(results: Results, shown: Sequence[str]) -> list[Drawing]:
    """The forest plot, if there are effects; then histograms and training curves of each shown arm."""
    judged = results.judged
    colours = plots.colours(results.arms, (judged or results).baseline)
    stems = slugs(shown)
    curves = results.curves()
    panels = plots.panels(curves[curves["arm"].isin(shown)])
    last = int(curves["step"].max()) if len(curves) else 0
    found = list(_forest(judged, colours)) if judged else []
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
    """Write each drawing as SVG and PNG, and each picture (by stem) as PNG; remove those of an earlier report.

    A list of what was written, with digests, tells them from the files that somebody else put into the folder.
    """
    files = {f"{stem}.png": path.read_bytes() for stem, path in pictures.items()}
    for drawing in drawings:
        files[f"{drawing.stem}.svg"] = plots.on_white(drawing.svg, drawing.description).encode()
        files[f"{drawing.stem}.png"] = plots.png(drawing.figure)
    earlier, new = _written(folder), {name: digests.of_bytes(content) for name, content in files.items()}
    write_json(folder / WRITTEN, earlier | new)
    for name, content in files.items():
        write_bytes(folder / name, content)
    for name, digest in earlier.items():
        if name not in files and "/" not in name:
            with contextlib.suppress(OSError):  # another report may have removed it
                if digests.of_bytes((folder / name).read_bytes()) == digest:
                    (folder / name).unlink()
    write_json(folder / WRITTEN, new)


def _written(folder: Path) -> dict[str, str]:
    """The figures of the earlier report in this folder: name -> digest; empty if that is not known."""
    try:
        found = json.loads((folder / WRITTEN).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def slugs(names: Sequence[str]) -> dict[str, str]:
    """Name -> a unique slug: ASCII letters and digits are kept, everything else becomes a dash.

    A number makes equal slugs unique. An underscore, which no slug contains, precedes it.
    """
    found: dict[str, str] = {}
    for name in names:
        same = sum(slug(other) == slug(name) for other in found)
        found[name] = slug(name) + (f"_{same + 1}" if same else "")
    return found


def slug(name: str) -> str:
    """A name as part of a file name: lower case, digits and dashes, at most 80 characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80].rstrip("-") or "unnamed"


def _forest(results: Results, colours: Mapping[str, str]) -> Iterator[Drawing]:
    verdicts = [verdict for verdict in results.verdicts() if np.isfinite(verdict.effect)][: tables.SHOWN]
    if not verdicts:
        return
    meaning = results.values[results.metric]
    bases = words.unique(verdict.baseline for verdict in verdicts)
    scale = 100.0 if results.measure(results.metric).kind == "share" else 1.0  # the axis has percentage points
    effects = [
        plots.Effect(
            v.arm if len(bases) == 1 else f"{v.arm} (against {v.baseline})",
            colours[v.arm],
            effect=scale * v.effect,
            low=scale * v.low,
            high=scale * v.high,
            verdict=v.kind,
        )
        for v in verdicts
    ]
    figure = plots.forest(effects, _axis(results, bases))
    described = "; ".join(
        f"{v.arm} {words.effect(v.effect, meaning)} ({words.interval_of(v, meaning)}), {v.kind}" for v in verdicts
    )
    against = f" against {bases[0]}" if len(bases) == 1 else ""
    text = f"Effects on {meaning.label}{against}: {described}"
    yield Drawing("", f"Effects{against}", "forest", text, figure)


def _axis(results: Results, bases: Sequence[str]) -> plots.EffectAxis:
    """The axis of the effects on the compare metric; the band is drawn where all arms have one baseline."""
    meaning, measure = results.values[results.metric], results.measure(results.metric)
    label = {
        "ratio": f"{meaning.label}, factor",
        "share": f"{meaning.label}, percentage points",
        "plain": f"{meaning.label}, difference",
        "target": f"distance of {meaning.label} to {measure.target:g}, difference",
    }[measure.kind]
    scale = 100.0 if measure.kind == "share" else 1.0
    base = np.nanmean(measure.transformed(list(results.by_seed(bases[0], results.metric).values())))
    below, above = (measure.effect(m, float(base)) for m in measure.margins(results.delta(), float(base)))
    band = (scale * below, scale * above) if len(bases) == 1 and np.isfinite([below, above]).all() else None
    return plots.EffectAxis(label, measure.neutral, band, measure.kind == "ratio", measure.better)


def _histograms(records: list[Record], arm: str, stem: str, colour: str) -> Iterator[Drawing]:
    """The histograms of an arm, each over the seeds whose bins are those of the first."""
    found = [record.read("histograms.json") for record in records]
    for title in words.unique(key for histograms in found for key in histograms):
        own: list[dict[str, Any]] = [histograms[title] for histograms in found if title in histograms]
        own = [histogram for histogram in own if histogram["bins"] == own[0]["bins"]]
        samples = [histogram["samples"] for histogram in own]
        figure = plots.histogram(own[0]["bins"], samples, own[0]["reference"], colour)
        shares = zip(own[0]["bins"], np.mean(samples, axis=0), strict=True)
        described = ", ".join(f"{label} {words.share(share, 1)}" for label, share in shares)
        marks = " (marks: training data)" if len(own[0]["bins"]) <= plots.MARKED else ""
        caption = f"{title.replace('_', ' ').capitalize()}{marks}"
        text = f"{title} of {arm}: {described[:600]}"
        yield Drawing(arm, caption, f"{stem}-histogram-{slug(title)}", text, figure)
