"""The figures of a report: matplotlib draws them, the page colours them.

Figures are drawn in the colours of ``LIGHT``. Inside the page a CSS variable replaces each of these, so that the
figures follow light and dark mode. Text stays text: it can be searched and read aloud, and has the page's font.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.trial.task import AT_ONCE, VISITED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.analysis.tuning import Curve

T = TypeVar("T", float, tuple[float, int])

INK, MUTED, LINE, WASH = "#1d2329", "#5c6771", "#dde2e7", "#eef1f4"
BASELINE = "#6b7480"
# Distinct under the common forms of colour blindness (after Okabe & Ito 2008 and Tol 2021); some are darkened for
# contrast on white. A name always stands beside a colour: no information is in colour alone.
ARMS = (
    "#0072b2", "#d55e00", "#009e73", "#b0529a", "#b87a00", "#3a93bd",
    "#882255", "#7f7f1f", "#4a3aa8", "#117733", "#c65566",
)  # fmt: skip
ARMS_DARK = (
    "#56a8e0", "#f08a3c", "#2cc298", "#dc8fc8", "#f0b93a", "#8ccbec",
    "#d0729f", "#c3c35a", "#9d90ee", "#64c384", "#f0929f",
)  # fmt: skip
LIGHT = {"ink": INK, "muted": MUTED, "line": LINE, "wash": WASH, "baseline": BASELINE} | {
    f"arm-{i}": colour for i, colour in enumerate(ARMS)
}

PNG_DPI = 200
"""The resolution of PNG files: a figure of 3.5 inches is 700 pixels wide."""
SEEDS = 100
"""The most points of seeds that a row of the forest plot has."""
MARKED = 40
"""A histogram of at most this many bins shows the shares of the training data as marks."""


@dataclass(frozen=True)
class Effect:
    """One row of the forest plot; low and high are NaN without an interval. ``seeds``: the effect of each seed."""

    arm: str
    colour: str
    effect: float
    low: float
    high: float
    verdict: str
    seeds: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """One set of axes for training curves: its title, the names of its curves, and the limits of its y axis."""

    title: str
    names: tuple[str, ...]
    low: float
    high: float


PAIRS = {
    "Discriminator's mean output": ("d_real", "d_fake"),
    "Classes in the snapshots": (VISITED, AT_ONCE),
}
"""The panels with two curves: title -> their names; the second is dashed."""


def colours(arms: Sequence[str], baseline: str) -> dict[str, str]:
    """Arm -> the name of its CSS variable for the colour; the baseline is grey."""
    others = [arm for arm in arms if arm != baseline]
    named = {arm: f"arm-{i % len(ARMS)}" for i, arm in enumerate(others)}
    return named | {baseline: "baseline"}


@dataclass(frozen=True)
class EffectAxis:
    """The axis of a forest plot: its label, where "no difference" is, the band that counts as none, and its scale."""

    label: str
    neutral: float
    band: tuple[float, float] | None
    log: bool
    better: str


def forest(effects: Sequence[Effect], axis: EffectAxis) -> Figure:
    """Effects with their intervals, one row per comparison; the band is what counts as no difference.

    Its name stands above each interval, so that the figure is narrow enough for a phone; the points of the seeds are
    below.
    """
    names = [wrapped(effect.arm, 44) for effect in effects]
    lines = 1 + max((name.count("\n") for name in names), default=0)
    pitch = 0.28 + 0.145 * lines  # inches
    figure, axes = _axes(5.2, 0.6 + pitch * len(effects))
    if axis.log:
        axes.set_xscale("log")
        _factors(axes, [bound for effect in effects for bound in (effect.effect, effect.low, effect.high)])
    if axis.band is not None:
        axes.axvspan(*axis.band, color=WASH, zorder=0)
    # Only beside the intervals: a whole line would run through the names.
    rows = np.arange(len(effects))
    ends = (rows - 0.05 / pitch, rows + 0.2 / pitch)
    axes.vlines([axis.neutral] * len(rows), *ends, color=MUTED, linewidth=0.9, zorder=1, gid="no-difference")
    above: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "bottom", "fontsize": 8.5}
    for row, (effect, name) in enumerate(zip(effects, names, strict=True)):
        colour = LIGHT[effect.colour]
        if np.isfinite(effect.low):
            axes.plot([effect.low, effect.high], [row, row], color=colour, linewidth=2, zorder=2)
        axes.plot([effect.effect], [row], "o", color=colour, markersize=6, zorder=4)
        seeds = spaced([seed for seed in effect.seeds if np.isfinite(seed)], SEEDS)
        below = [row + 0.11 / pitch] * len(seeds)
        axes.plot(seeds, below, "o", color=colour, alpha=0.55, markersize=2.6, markeredgewidth=0, zorder=3)
        axes.text(0, row - 0.07 / pitch, name, color=INK, parse_math=False, **above)
        axes.text(1, row - 0.07 / pitch, effect.verdict, color=MUTED, ha="right", parse_math=False, **above)
    axes.set_ylim(len(effects) - 1 + 0.2 / pitch, -(pitch - 0.13) / pitch)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    arrow = "← better" if axis.better == "lower" else "better →"
    axes.set_xlabel(f"{axis.label}   ({arrow})", parse_math=False)
    _plain(axes)
    return figure


def spaced(items: Sequence[T], most: int) -> list[T]:
    """The items, sorted; of more than ``most`` so many, evenly spaced."""
    ordered = sorted(items)
    if len(ordered) <= most:
        return ordered
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def _factors(axes: Axes, bounds: Sequence[float]) -> None:
    """Ticks at round factors, on the logarithmic axis of factors."""
    known = [bound for bound in bounds if np.isfinite(bound) and bound > 0]
    low, high = min([*known, 0.8]), max([*known, 1.25])
    low, high = max(low, 1e-3) / 1.15, min(high, 1e3) * 1.15
    steps = [factor * 10.0**power for power in range(-3, 4) for factor in (1, 2, 5)]
    finer = [0.5, 0.7, 1.0, 1.4, 2.0], [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75]
    inside = [[step for step in each if low <= step <= high] for each in (steps, *finer)]
    shown = next((each for each in inside if len(each) >= 3), inside[-1])
    axes.set_xlim(low, high)
    axes.set_xticks(shown, [f"× {step:g}" for step in shown])
    axes.set_xticks([], minor=True)


def panels(curves: pd.DataFrame) -> list[Panel]:
    """The panels for these curves. All arms share the limits of a panel, so that they can be compared.

    The two losses have axes of their own: their sizes have nothing to do with each other.
    """
    found = list(dict.fromkeys(curves["name"]))
    paired = {name for names in PAIRS.values() for name in names}
    groups: list[tuple[str, tuple[str, ...]]] = [
        (name.replace("_", " ").capitalize(), (name,)) for name in found if name not in paired
    ]
    groups += PAIRS.items()
    result = []
    for title, names in groups:
        present = tuple(name for name in names if name in found)
        values = curves.loc[curves["name"].isin(present), "value"].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        if len(values):
            # A diverging arm would flatten the curves of all others: cut off the most extreme 1 % of the points.
            low, high = (float(bound) for bound in np.quantile(values, [0.005, 0.995]))
            margin = 0.06 * (high - low) or 0.5
            result.append(Panel(title, present, low - margin, high + margin))
    return result


def training(curves: pd.DataFrame, panel: Panel, colour: str, last: int) -> Figure:
    """The curves of an arm: mean over its seeds, in a band from lowest to highest; the second curve is dashed.

    Args:
        curves: the rows of ``Results.curves()`` for the arm.
        panel: the axes to draw.
        colour: the name of the arm's colour.
        last: the last step of the axis.
    """
    figure, axes = _axes(3.5, 2.3)
    for name, style in zip(panel.names, ("-", (0, (4, 2))), strict=False):
        rows = curves[(curves["name"] == name) & np.isfinite(curves["value"].to_numpy(dtype=float))]
        if rows.empty:
            continue
        seeds = rows.groupby("step")["value"].agg(["mean", "min", "max"]).sort_index()
        axes.fill_between(seeds.index, seeds["min"], seeds["max"], color=LIGHT[colour], alpha=0.18, linewidth=0)
        label = name.replace("_", " ")
        axes.plot(seeds.index, seeds["mean"], linestyle=style, color=LIGHT[colour], linewidth=1.4, label=label)
    axes.set_xlim(0, max(last, 1))
    axes.set_ylim(panel.low, panel.high)
    axes.set_xlabel("step")
    axes.locator_params(nbins=5)
    if len(panel.names) > 1 and axes.get_legend_handles_labels()[1]:
        # Above the axes, so that the legend covers no curve.
        place: dict[str, Any] = {
            "loc": "lower left",
            "bbox_to_anchor": (0, 1),
            "ncols": len(panel.names),
            "borderaxespad": 0.2,
        }
        axes.legend(**place, fontsize=8, frameon=False, handlelength=2.4, labelcolor=INK)
    _plain(axes)
    return figure


def tuning(
    curves: Sequence[Curve], colours: Sequence[str], label: str, limits: tuple[float, float], factor: float
) -> Figure:
    """Tuning curves with their bands, against the number of configurations; the first curve is dashed if it has others.

    Args:
        curves: the curves to draw.
        colours: the name of the colour of each.
        label: what the curves show.
        limits: of the axis of values; a band may go beyond them.
        factor: the values are multiplied by it.
    """
    figure, axes = _axes(3.5, 2.3)
    for number, (curve, colour) in enumerate(zip(curves, colours, strict=True)):
        n = np.arange(1, len(curve.best) + 1)
        style: Any = (0, (4, 2)) if number == 0 and len(curves) > 1 else "-"
        beyond = (limits[0] - 1, limits[1] + 1)
        if curve.banded:
            low, high = (factor * np.clip(bound, *beyond) for bound in (curve.low, curve.high))
            axes.fill_between(n, low, high, step="mid", color=LIGHT[colour], alpha=0.18, linewidth=0)
        best = factor * np.where(np.isfinite(curve.best), curve.best, np.nan)
        axes.plot(n, best, drawstyle="steps-mid", linestyle=style, color=LIGHT[colour], linewidth=1.4)
    axes.set_ylim(factor * limits[0], factor * limits[1])
    axes.set_xlabel("configurations")
    axes.set_ylabel(label, parse_math=False)
    axes.locator_params(axis="x", nbins=5, integer=True)
    _plain(axes)
    return figure


def histogram(
    bins: Sequence[str], shares: Sequence[Sequence[float]], reference: Sequence[float], colour: str
) -> Figure:
    """Shares of samples per bin (mean over seeds, with a line from lowest to highest), and of the training data.

    Args:
        bins: b labels.
        shares: b shares per seed, in [0, 1].
        reference: b shares of the training data, drawn as dark marks if there are at most ``MARKED`` bins.
        colour: the name of the arm's colour.
    """
    figure, axes = _axes(3.5, 2.3)
    x, y = np.arange(len(bins)), 100 * np.asarray(shares, dtype=float)
    many = len(bins) > MARKED
    axes.bar(x, y.mean(axis=0), width=1.0 if many else 0.74, color=LIGHT[colour], alpha=0.75, linewidth=0)
    if not many:
        axes.vlines(x, y.min(axis=0), y.max(axis=0), color=LIGHT[colour], linewidth=1.6)
        axes.hlines(100 * np.asarray(reference), x - 0.45, x + 0.45, color=INK, linewidth=1.4)
    shown = x if len(bins) <= 12 else x[:: int(np.ceil(len(bins) / 10))]
    axes.set_xticks(shown, [str(bins[i]).replace(" ", "\n") for i in shown])
    axes.set_ylim(0, None)
    axes.set_ylabel("% of samples")
    axes.locator_params(axis="y", nbins=5)
    _plain(axes)
    return figure


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG file, in light colours."""
    import matplotlib

    buffer = io.StringIO()
    nothing: Mapping[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # "none" keeps text as text; the fixed salt makes the file reproducible.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "harness"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict(nothing))
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def on_white(file: str, description: str) -> str:
    """An SVG file with a white background, which its light colours need, and a title for screen readers."""
    end = file.index(">", file.index("<svg")) + 1
    return f"{file[:end]}{_background(description)}{file[end:]}"


def off_white(file: str, description: str) -> str:
    """The inverse of ``on_white``."""
    return file.replace(_background(description), "", 1)


def _background(description: str) -> str:
    return f'\n <title>{escape(description)}</title>\n <rect width="100%" height="100%" fill="#ffffff"/>'


def inline(file: str, name: str, description: str) -> str:
    """A figure as an ``<svg>`` element of the page.

    Args:
        file: the figure as ``svg`` returns it.
        name: unique on the page; the prefix of all identifiers inside.
        description: what it shows, for screen readers.
    """
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", file[file.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"\d+\.\d{2,}", _rounded, path[0]), text)
    for variable, colour in LIGHT.items():
        text = text.replace(f": {colour}", f": var(--{variable})")
    head = re.search(r'viewBox="[^"]*"', text)
    assert head is not None  # matplotlib always writes one
    start = f'<svg {head[0]} xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
    return f'{start} aria-label="{escape(description)}">' + text[text.index(">") + 1 :]


def wrapped(name: str, width: int = 38) -> str:
    """A name, broken into at most three lines; a longer name loses its middle."""
    lines = textwrap.wrap(name, width, break_on_hyphens=False) or [""]
    return "\n".join(lines if len(lines) <= 3 else [lines[0], lines[1], f"… {name[2 - width :]}"])


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one set of axes, sizes in inches; made without pyplot and its global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _plain(*several: Axes) -> None:
    """Style axes: thin lines, small grey labels; a "$" in a user's name starts no formula."""
    for axes in several:
        axes.set_facecolor("none")
        axes.tick_params(colors=MUTED, labelsize=8.5, labelcolor=INK, width=0.8, length=3)
        axes.xaxis.label.set(color=MUTED, fontsize=8.5)
        axes.yaxis.label.set(color=MUTED, fontsize=8.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set(color=LINE, linewidth=0.8)
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            label.set_parse_math(False)
