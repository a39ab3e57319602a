"""The figures of a suite. Each is drawn once, for the page and for its SVG and PNG files.

A figure whose data did not change since an earlier report is not drawn again: its files are taken as they are.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from importlib import metadata
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
"""The list of the figures that a report wrote, in their folder: file -> digest."""
DRAWN = ".drawn.json"
"""What the drawings among them show: stem -> digest (``Drawing.seal``)."""


@dataclass
class Drawing:
    """A figure, drawn when it is first asked for.

    Attributes:
        arm: the arm that it shows; "" for all arms.
        caption: the text below it.
        stem: its file name without the extension; unique in the suite.
        description: what it shows, for screen readers.
        plot: the function that draws it.
        given: its arguments.
        kept: its files of an earlier report that showed the same; None if there are none.
    """

    arm: str
    caption: str
    stem: str
    description: str
    plot: Callable[..., Figure]
    given: tuple[Any, ...]
    kept: dict[str, bytes] | None = None

    @cached_property
    def digest(self) -> str:
        """The digest of all that decides what it looks like: its data, its texts, and the code that draws it."""
        return digests.of_value([self.plot.__name__, self.description, _plain(self.given), _code()])

    def seal(self, files: Mapping[str, bytes]) -> str:
        """The digest of what it shows and of its files."""
        return digests.of_value([self.digest, {name: digests.of_bytes(content) for name, content in files.items()}])

    @cached_property
    def svg(self) -> str:
        """The figure as the text of an SVG file."""
        if self.kept is not None:
            return plots.off_white(self.kept[f"{self.stem}.svg"].decode(), self.description)
        return plots.svg(self.figure)

    @property
    def inline(self) -> str:
        """The figure as an element of the page."""
        return plots.inline(self.svg, self.stem, self.description)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Name -> content of its files."""
        if self.kept is not None:
            return self.kept
        white = plots.on_white(self.svg, self.description).encode()
        return {f"{self.stem}.svg": white, f"{self.stem}.png": plots.png(self.figure)}

    @cached_property
    def figure(self) -> Figure:
        """The figure itself."""
        return self.plot(*self.given)


@functools.cache
def _code() -> list[str]:
    """What draws: the text of ``plots``, and the version of matplotlib."""
    return [digests.of_file(Path(plots.__file__)), metadata.version("matplotlib")]


def _plain(value: Any) -> Any:
    """The arguments of a plot as plain values, for a digest."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return [list(value.columns), digests.of_bytes(pd.util.hash_pandas_object(value, index=False).to_numpy().data)]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(list(vars(value).items())) if is_dataclass(value) else value


def reuse(folder: Path, drawings: Sequence[Drawing]) -> None:
    """Let each drawing that an earlier report drew into this folder keep its files, if they are as it wrote them."""
    shown = _listed(folder / DRAWN)
    for drawing in drawings:
        if drawing.stem in shown:
            with contextlib.suppress(OSError):  # a file was removed: the figure is drawn again
                names = (f"{drawing.stem}.svg", f"{drawing.stem}.png")
                kept = {name: (folder / name).read_bytes() for name in names}
                drawing.kept = kept if shown[drawing.stem] == drawing.seal(kept) else None


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
            given = own[["name", "step", "value"]], panel, colours[arm], last
            seeds = words.count(len(results.of(arm)), "seed")
            text = f"{panel.title} of {arm} over training, mean and range over {seeds}"
            found.append(Drawing(arm, panel.title, f"{stems[arm]}-{slug(panel.title)}", text, plots.training, given))
    return found


def save(folder: Path, drawings: Sequence[Drawing], pictures: Mapping[str, Path], others: Mapping[str, bytes]) -> None:
    """Write each drawing as SVG and PNG, each picture (by stem) as PNG, and others (by name); remove earlier ones.

    A list of what was written, with digests, tells them from the files that somebody else put into the folder.
    """
    files = {f"{stem}.png": path.read_bytes() for stem, path in pictures.items()} | dict(others)
    for drawing in drawings:
        files |= drawing.files
    earlier, new = _listed(folder / WRITTEN), {name: digests.of_bytes(content) for name, content in files.items()}
    as_they_are = {name for drawing in drawings for name in drawing.kept or ()}
    write_json(folder / WRITTEN, earlier | new)
    for name, content in files.items():
        if name not in as_they_are:
            write_bytes(folder / name, content)
    for name, digest in earlier.items():
        if name not in files and "/" not in name:
            with contextlib.suppress(OSError):  # another report may have removed it
                if digests.of_bytes((folder / name).read_bytes()) == digest:
                    (folder / name).unlink()
    write_json(folder / WRITTEN, new)
    write_json(folder / DRAWN, {drawing.stem: drawing.seal(drawing.files) for drawing in drawings})


def _listed(path: Path) -> dict[str, str]:
    """A list of digests that an earlier report wrote: name -> digest; empty if that is not known."""
    try:
        found = json.loads(path.read_bytes())
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
            seeds=[scale * effect for effect in results.effects(v).values()],
        )
        for v in verdicts
    ]
    described = "; ".join(
        f"{v.arm} {words.effect(v.effect, meaning)} ({words.interval_of(v, meaning)}), {v.kind}" for v in verdicts
    )
    against = f" against {bases[0]}" if len(bases) == 1 else ""
    text = f"Effects on {meaning.label}{against}: {described}"
    yield Drawing("", f"Effects{against}", "forest", text, plots.forest, (effects, _axis(results, bases)))


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
        given = own[0]["bins"], samples, own[0]["reference"], colour
        shares = zip(own[0]["bins"], np.mean(samples, axis=0), strict=True)
        described = ", ".join(f"{label} {words.share(share, 1)}" for label, share in shares)
        marks = " (marks: training data)" if len(own[0]["bins"]) <= plots.MARKED else ""
        caption = f"{title.replace('_', ' ').capitalize()}{marks}"
        text = f"{title} of {arm}: {described[:600]}"
        yield Drawing(arm, caption, f"{stem}-histogram-{slug(title)}", text, plots.histogram, given)
