"""The report page: one HTML file that needs nothing else, and the tables beside it.

Here the results take the shape that the template ``page.html.j2`` shows; jinja2 escapes every text.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import protocol, storage
from harness.report import artifacts, plots, sources, tables, words

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from harness.metrics.base import Value
    from harness.results import Finding, Record, Results

IMAGE_BYTES = 2_400_000
"""What the sample grids of a page may take together, before base64 makes them a third larger."""
PICTURE_BYTES = 2_400_000
"""The same for what models show beside samples."""
SMALLEST, LARGEST = 200, 480
"""Pixels that such a picture is wide on the page: small ones are enlarged by whole factors."""


def write(results: Results, folder: Path) -> Path:
    """Write trials.csv, leaderboard.csv, leaderboard.md and report.html into a folder; return the page.

    Beside them expectations.csv, where the suite expects something.
    Each file is either replaced as a whole or left as it was.
    """
    page = folder / "report.html"
    storage.write_bytes(folder / "trials.csv", tables.csv(results.trials()).encode())
    storage.write_bytes(folder / "leaderboard.csv", tables.csv(results.leaderboard()).encode())
    storage.write_bytes(folder / "leaderboard.md", tables.markdown(results).encode())
    if results.plan.suite.expect:
        storage.write_bytes(folder / "expectations.csv", tables.csv(results.expectations_table()).encode())
    storage.write_bytes(page, html(results, command(results, folder.parent)).encode())
    return page


def command(results: Results, store: Path) -> str:
    """The command line that runs the suite again into the same results folder."""
    words_ = ["harness", "run", str(results.plan.suite.path)]
    for override in results.plan.suite.sets:
        words_ += ["--set", override]
    return shlex.join(words_ + flag(store))


def flag(store: Path) -> list[str]:
    """``--results FOLDER``, where that is not the default folder."""
    return [] if store.resolve() == Path("results").resolve() else ["--results", str(store)]


def html(results: Results, again: str) -> str:
    """The page.

    Args:
        results: what to show.
        again: the command that runs the suite again.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.report", "."),
        autoescape=True,  # of every text, whatever the template is called
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(light=plots.LIGHT, dark=dark(), words=words, pieces=sources.code_and_prose)
    findings = results.expectations()
    shown = [str(arm) for arm in results.leaderboard()["arm"][: tables.SHOWN]]
    colours = plots.colours(results.arms, results.baseline)
    return environment.get_template("page.html.j2").render(
        suite=results.plan.suite,
        results=results,
        again=again,
        compared=results.values[results.metric],
        compared_index=list(results.values).index(results.metric),
        headline=words.headline(results),
        sentences=_sentences(results),
        reading=words.reading(results),
        tally=words.tally(findings) if findings else "",
        expected=[_expected(finding, results) for finding in findings],
        excluded=[(cell.name, cell.excluded) for cell in results.plan.cells if cell.excluded is not None],
        leaderboard=_leaderboard(results),
        hidden=len(results.arms) - len(shown),
        lacking=[arm for arm in shown if not all(results.offers(arm, column) for column in results.values)],
        floors=_floors(results),
        forest=_forest(results, colours),
        cards=_cards(results, shown, colours),
        failures=[record for arm in results.arms for record in results.of(arm) if not record.done],
        sources=sources.sources(results),
        explained=sources.explained(results),
        protocol=_protocol(results),
        differing=_differing(results),
        environment=_environment(results),
    )


def dark() -> dict[str, str]:
    """The colours of ``plots.LIGHT`` for dark paper."""
    own = {"ink": "#e3e6e9", "muted": "#9ba5ae", "line": "#343a40", "wash": "#20252a", "baseline": "#a5adb6"}
    return own | {f"arm-{i}": colour for i, colour in enumerate(plots.ARMS_DARK)}


# --- verdicts and leaderboard ----------------------------------------------------------------------------


def _sentences(results: Results) -> list[tuple[str, str]]:
    """Kind and sentence of every verdict, most decided first."""
    if results.plan.suite.search is not None:
        return []
    order = list(words.SYMBOLS)
    verdicts = sorted(results.verdicts(), key=lambda verdict: order.index(verdict.kind))
    meaning = results.values[results.metric]
    return [(verdict.kind, words.sentence(verdict, meaning, results.baseline)) for verdict in verdicts]


@dataclass(frozen=True)
class Expected:
    """A figure of the literature beside what was measured."""

    about: str
    metric: str
    paper: str
    measured: list[str]
    tested: list[str]
    outcome: str
    source: str
    note: str


def _expected(finding: Finding, results: Results) -> Expected:
    meaning = results.values[finding.expectation.metric]
    ordered = finding.expectation.order is not None
    return Expected(
        about="order" if ordered else finding.measured[0].arm,
        metric=f"{meaning.label} {words.arrow(meaning)}",
        paper=words.expected(finding, meaning),
        measured=[(f"{m.arm}: " if ordered else "") + words.measured(m, meaning) for m in finding.measured],
        tested=[words.tested(step, meaning) for step in finding.steps],
        outcome=finding.outcome,
        source=finding.expectation.source,
        note=finding.expectation.note,
    )


@dataclass(frozen=True)
class Cell:
    """A number of the leaderboard: full precision to sort by, and as shown."""

    exact: str
    mean: str
    bounds: str


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard."""

    arm: str
    colour: str
    baseline: bool
    n: int
    failed: int
    verdict: str
    cells: list[Cell]


def _leaderboard(results: Results) -> list[Row]:
    colours = plots.colours(results.arms, results.baseline)
    verdicts = {verdict.arm: verdict.kind for verdict in results.verdicts()}
    return [
        Row(
            arm=row["arm"],
            colour=colours[row["arm"]],
            baseline=row["arm"] == results.baseline,
            n=row["n"],
            failed=row["failed"],
            verdict=verdicts.get(row["arm"], ""),
            cells=[_cell(row, column, value) for column, value in results.values.items()],
        )
        for _, row in results.leaderboard().head(tables.SHOWN).iterrows()
    ]


def _cell(row: pd.Series[Any], column: str, meaning: Value) -> Cell:
    mean = float(row[f"{column}_mean"])
    inside = words.bounds(row[f"{column}_low"], row[f"{column}_high"], meaning)
    return Cell(repr(mean) if np.isfinite(mean) else "", words.number(mean, meaning), inside)


def _floors(results: Results) -> dict[str, str]:
    """What real images score against real images, by value column: of the first trial that recorded it."""
    recorded = next(filter(None, (artifacts.read(record, "floors.json") for record in results.records)), {})
    return {
        column: words.number(float(recorded[column]), meaning) if column in recorded else words.NOTHING
        for column, meaning in results.values.items()
        if recorded
    }


def _forest(results: Results, colours: Mapping[str, str]) -> Markup | None:
    verdicts = results.verdicts()[: tables.SHOWN]
    effects = [plots.Effect(v.arm, colours[v.arm], v.effect, v.low, v.high, v.kind) for v in verdicts if v.n > 0]
    if not effects:
        return None
    meaning = results.values[results.metric]
    # Percent metrics are shares; the axis shows them in per cent, as the tables do.
    scale = 100.0 if meaning.percent else 1.0
    scaled = [
        plots.Effect(e.arm, e.colour, scale * e.effect, scale * e.low, scale * e.high, e.verdict) for e in effects
    ]
    label = meaning.label + (" (percentage points)" if meaning.percent else "")
    figure = plots.forest(scaled, scale * results.delta(), label, meaning.better)
    return _safe(
        plots.inline(figure, "forest", f"Effects on {meaning.label} against {results.baseline}; figures above")
    )


# --- arms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """A picture of the page: its caption, its data URI, how large it is shown."""

    caption: str
    uri: str
    width: int
    height: int
    smooth: bool
    """Whether it is shown smaller than it is."""


@dataclass(frozen=True)
class Card:
    """What the page shows of one arm besides its numbers."""

    arm: str
    colour: str
    baseline: bool
    made_of: str
    outcome: str
    seed: int
    points: bool
    """Whether samples are points in the plane, and not tiles of pixels."""
    grids: list[Image]
    shown_seed: int
    pictures: list[Image]
    left_out: int
    """Pictures that the page has no room for."""
    figures: list[tuple[str, Markup]]
    """Caption and drawing."""


def _cards(results: Results, shown: list[str], colours: Mapping[str, str]) -> list[Card]:
    curves = results.curves()
    panels = plots.panels(curves[curves["arm"].isin(shown)])
    last = int(curves["step"].max()) if len(curves) else 0
    share = max(len(shown), 1)
    cards = []
    for number, arm in enumerate(shown):
        records = results.of(arm)
        first = next((record for record in records if artifacts.grids(record)), records[0])
        grids = artifacts.thinned(artifacts.grids(first), IMAGE_BYTES // share)
        telling = next((record for record in records if artifacts.pictures(record)), first)
        pictures = artifacts.pictures(telling)
        fitting = artifacts.fitting(pictures, PICTURE_BYTES // share)
        figures = _histograms(records, f"a{number}", colours[arm])
        own = curves[curves["arm"] == arm]
        for position, panel in enumerate(panels):
            if not own["name"].isin(panel.names).any():
                continue
            drawing = plots.training(own, panel, colours[arm], last)
            seeds = words.count(len(records), "seed")
            text = f"{panel.title} of {arm} over training, mean and range over {seeds}"
            figures.append((panel.title, _safe(plots.inline(drawing, f"a{number}c{position}", text))))
        cards.append(
            Card(
                arm=arm,
                colour=colours[arm],
                baseline=arm == results.baseline,
                made_of=" + ".join(filter(None, (records[0].model, records[0].tricks))) + f" on {records[0].data}",
                outcome=_outcome(records),
                seed=first.seed,
                points=_points(first),
                grids=[_image(grid, grid.width) for grid in grids],
                shown_seed=telling.seed,
                pictures=[_image(picture, _shown_width(picture)) for picture in fitting],
                left_out=len(pictures) - len(fitting),
                figures=figures,
            )
        )
    return cards


def _outcome(records: list[Record]) -> str:
    """How an arm's trials ended, with the interval of the failure rate, and how long one took."""
    failed = sum(not record.done for record in records)
    seconds = np.median([record.seconds_train for record in records])
    text = f"{words.count(len(records), 'trial')}, {seconds:.0f} s of training each (median)"
    return text + (f"; failed: {words.failures(failed, len(records))}" if failed else "; none failed")


def _image(picture: artifacts.Picture, width: int) -> Image:
    content = base64.b64encode(picture.path.read_bytes()).decode()
    height = round(picture.height * width / max(picture.width, 1))
    return Image(picture.caption, f"data:image/png;base64,{content}", width, height, smooth=width < picture.width)


def _shown_width(picture: artifacts.Picture) -> int:
    return min(picture.width * max(1, round(SMALLEST / max(picture.width, 1))), LARGEST)


def _points(record: Record) -> bool:
    """Whether the trial's data are points in the plane."""
    from harness import registry
    from harness.errors import HarnessError

    try:
        plugin = registry.find("data", record.data).plugin
    except HarnessError:
        return False
    return bool(plugin is not None and plugin.points)


def _histograms(records: list[Record], name: str, colour: str) -> list[tuple[str, Markup]]:
    """The arm's histograms, each over the seeds that recorded the same bins."""
    found = [artifacts.read(record, "histograms.json") for record in records]
    figures = []
    for position, title in enumerate(words.unique(key for histograms in found for key in histograms)):
        own = [histograms[title] for histograms in found if title in histograms]
        own = [histogram for histogram in own if histogram["bins"] == own[0]["bins"]]
        drawing = plots.histogram(
            own[0]["bins"], [histogram["samples"] for histogram in own], own[0]["reference"], colour
        )
        shares = np.mean([histogram["samples"] for histogram in own], axis=0)
        told = ", ".join(f"{label} {words.share(s, 1)}" for label, s in zip(own[0]["bins"], shares, strict=True))
        caption = f"{title.replace('_', ' ').capitalize()} (marks: training data)"
        figures.append((caption, _safe(plots.inline(drawing, f"{name}h{position}", f"{title}: {told[:600]}"))))
    return figures


# --- where it comes from ---------------------------------------------------------------------------------


def _protocol(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """The protocol as (metric, fields): first what all metrics share, then what is a metric's own."""
    recorded = next(filter(None, (protocol.of(record) for record in results.records)), {})
    if not recorded:
        return []
    protocols = list(recorded.values())
    common = {
        field: value
        for field, value in protocols[0].items()
        if all(field in other and other[field] == value for other in protocols)
    }
    own = [
        (metric, [(field, str(value)) for field, value in fields.items() if field not in common])
        for metric, fields in recorded.items()
    ]
    shared = ("all metrics", [(field, str(value)) for field, value in common.items()])
    return [(metric, fields) for metric, fields in (shared, *own) if fields]


def _differing(results: Results) -> list[tuple[str, str]]:
    """The fields of the protocol in which trials differ, so that values cannot be compared, and what they have."""
    first: protocol.Protocol = {}
    found: dict[str, list[str]] = {}
    for record in results.records:
        own = protocol.of(record)
        for difference in protocol.differences(first, own):
            values = found.setdefault(difference.field, [])
            values += ["not recorded" if v is None else str(v) for v in (difference.one, difference.other)]
        first = {**own, **first}
    return [(field.replace("_", " "), " against ".join(words.unique(values))) for field, values in found.items()]


def _environment(results: Results) -> list[tuple[str, str]]:
    """What the trials ran on: every field with all its values."""
    fields = words.unique(field for record in results.records for field in record.environment)
    return [
        (
            field.replace("_", " "),
            ", ".join(words.unique(r.environment[field] for r in results.records if field in r.environment)),
        )
        for field in fields
    ]


def _safe(drawing: str) -> Markup:
    """Mark a drawing as HTML: the texts inside are escaped already, by matplotlib and by ``inline``."""
    from markupsafe import Markup

    return Markup(drawing)
