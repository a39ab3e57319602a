"""The report page: one HTML file without external files, and the tables beside it.

This module prepares the values that the template ``page.html.j2`` shows; jinja2 escapes all text.
"""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.analysis import across, interactions, protocol, statistics, tuning
from harness.base.files import write_bytes
from harness.report import animation, artifacts, contrasts, figures, plots, sources, tables, unfinished, words
from harness.report.tuning import Tuning
from harness.suite import choosing

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from harness.analysis.expectations import Finding
    from harness.analysis.results import Results
    from harness.metrics.base import Value
    from harness.report.unfinished import Unfinished
    from harness.store.record import Record

IMAGE_BYTES = 2_400_000
"""The limit for all sample grids of a page, in bytes before base64, which makes them a third larger."""
PICTURE_BYTES = 2_400_000
"""The limit for all other pictures of models, in bytes before base64."""
BEGUN = 12
"""Unfinished trials that are shown."""
SMALLEST, LARGEST = 200, 480
"""The width of such a picture on the page, in pixels: small ones are enlarged by a whole factor."""


def write(results: Results, folder: Path, store: Path | None = None) -> Path:
    """Write report.html, its tables (CSV and Markdown) and its figures (SVG and PNG) into a folder.

    ``store`` is the results folder, if the folder does not lie in it. Each file is replaced as a whole or left
    unchanged. Figures of an earlier report are removed.

    Returns: the path of the page.
    """
    judged = results.judged or results
    shown = [str(arm) for arm in results.leaderboard()["arm"][: tables.SHOWN]]
    tuned = Tuning(results) if results.searches else None
    drawings = figures.draw(results, shown) + (tuned.drawings() if tuned else [])
    figures.reuse(folder / "figures", drawings)
    cards = _cards(results, shown, drawings)
    files = {
        "trials.csv": tables.csv(results.trials()),
        "curves.csv": tables.csv(results.curves()),
        "leaderboard.csv": tables.csv(results.leaderboard()),
        "leaderboard.md": tables.leaderboard_markdown(results),
        "verdicts.csv": tables.csv(tables.verdicts(judged)),
        "verdicts.md": tables.verdicts_markdown(judged),
    }
    for name, table in (("interactions", interactions.table(results)), ("across", across.table(results))):
        if len(table):
            files[f"{name}.csv"] = tables.csv(table)
    if results.plan.suite.expect:
        files["expectations.csv"] = tables.csv(judged.expectations_table())
        files["expectations.md"] = _expectations_markdown(judged)
    if tuned:
        files["searches.csv"] = tables.csv(tuned.table())
        files["tuning.csv"] = tables.csv(tuning.table(tuned.curves))
    if results.confirmed:
        files["confirmed.csv"] = tables.csv(results.confirmed.trials())
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    place = store or folder.parent
    begun = unfinished.trials(results, place)
    moving = _animation(cards, folder / "figures" / animation.NAME)
    others = {animation.NAME: moving} if moving else {}
    figures.save(folder / "figures", drawings, _picture_files(shown, cards), others)
    page = folder / "report.html"
    write_bytes(page, html(results, command(results, place), drawings, cards, moving, begun).encode())
    return page


def command(results: Results, store: Path) -> str:
    """The command line that runs the suite again with the same results folder."""
    arguments = ["harness", "run", str(results.plan.suite.path)]
    for override in results.plan.suite.sets:
        arguments += ["--set", override]
    for pattern in results.plan.only:
        arguments += ["--only", pattern]
    return shlex.join(arguments + flag(store))


def flag(store: Path) -> list[str]:
    """``--results FOLDER``; empty for the default folder."""
    return [] if store.resolve() == Path("results").resolve() else ["--results", str(store)]


def html(
    results: Results,
    again: str,
    drawings: Sequence[figures.Drawing],
    cards: Sequence[Card],
    moving: bytes | None = None,
    begun: Sequence[Unfinished] = (),
) -> str:
    """The page as HTML.

    Args:
        results: the results to show.
        again: the command that runs the suite again.
        drawings: the figures.
        cards: the arms that are shown.
        moving: samples over training as a GIF, if there are enough snapshots.
        begun: the trials that have not ended.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.report", "."),
        autoescape=True,  # for every template, whatever its extension
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.globals.update(light=plots.LIGHT, dark=dark(), words=words, pieces=sources.code_and_prose)
    judged = results.judged or results
    findings = judged.expectations()
    shown = [card.arm for card in cards]
    tuned = Tuning(results) if results.searches else None
    return environment.get_template("page.html.j2").render(
        suite=results.plan.suite,
        results=results,
        again=again,
        chosen=choosing.told(results.plan),
        compared=results.values[results.metric],
        compared_index=list(results.values).index(results.metric),
        headline=words.headline(results),
        sentences=_sentences(results),
        reading=words.reading(judged),
        judged=judged,
        tuned=tuned,
        curves=[(d.caption, _safe(d.inline)) for d in drawings if not d.arm and d.stem.startswith("tuning-")],
        contrasts=contrasts.sections(judged),
        contrasts_missing=contrasts.missing(judged),
        tally=words.tally(findings) if findings else "",
        expected=[_expected(finding, judged) for finding in findings],
        excluded=[(cell.name, cell.excluded) for cell in results.plan.cells if cell.excluded is not None],
        leaderboard=_leaderboard(results),
        hidden=len(results.arms) - len(shown),
        lacking=[arm for arm in shown if not all(results.offers(arm, column) for column in results.values)],
        floors=_floors(results),
        comparison=_comparison(judged, results.arms),
        forest=next((_safe(d.inline) for d in drawings if not d.arm and d.stem == "forest"), None),
        forest_title=next((d.caption for d in drawings if not d.arm and d.stem == "forest"), "Effects"),
        cards=cards,
        moving=_gif(moving) if moving else None,
        begun=[(trial, _image(trial.last, trial.last.width) if trial.last else None) for trial in begun[:BEGUN]],
        begun_more=len(begun[BEGUN:]),
        failures=results.failures,
        sources=sources.sources(results),
        explained=sources.explained(results),
        protocol=_protocol(results),
        differing=protocol.told(protocol.among(results.records)),
        environment=_environment(results),
    )


def dark() -> dict[str, str]:
    """The colours of ``plots.LIGHT`` for a dark background."""
    own = {"ink": "#e3e6e9", "muted": "#9ba5ae", "line": "#343a40", "wash": "#20252a", "baseline": "#a5adb6"}
    return own | {f"arm-{i}": colour for i, colour in enumerate(plots.ARMS_DARK)}


# --- verdicts and leaderboard ----------------------------------------------------------------------------


def _sentences(results: Results) -> list[tuple[str, str]]:
    """Kind and sentence of every verdict, in the order of ``words.SYMBOLS``: inconclusive ones last."""
    if (judged := results.judged) is None:
        return []
    order = list(words.SYMBOLS)
    verdicts = sorted(judged.verdicts(), key=lambda verdict: order.index(verdict.kind))
    return [(verdict.kind, words.sentence(verdict, judged)) for verdict in verdicts]


@dataclass(frozen=True)
class Expected:
    """A row of the expectations: a figure of the literature and the measured one, as text."""

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


def _expectations_markdown(results: Results) -> str:
    found = [_expected(finding, results) for finding in results.expectations()]
    rows = [
        [row.outcome, row.about, row.metric, row.paper, "; ".join(row.measured + row.tested), row.source]
        for row in found
    ]
    return tables.markdown(["outcome", "of", "metric", "paper", "measured", "source"], rows, texts=6)


@dataclass(frozen=True)
class TableCell:
    """A number in a table: with full precision, for sorting, and as shown."""

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
    failed: TableCell
    verdict: str
    cells: list[TableCell]


def _leaderboard(results: Results) -> list[Row]:
    baseline = (results.judged or results).baseline
    colours = plots.colours(results.arms, baseline)
    verdicts = {verdict.arm: verdict.kind for verdict in results.verdicts()}
    return [
        Row(
            arm=row["arm"],
            colour=colours[row["arm"]],
            baseline=row["arm"] == baseline,
            n=row["n"],
            failed=_failed(row["failed"], row["n"] + row["failed"]),
            verdict=verdicts.get(row["arm"], "other protocol" if row["arm"] in results.mismatched else ""),
            cells=[_cell(results, row, column, value) for column, value in results.values.items()],
        )
        for _, row in results.leaderboard().head(tables.SHOWN).iterrows()
    ]


def _cell(results: Results, row: pd.Series[Any], column: str, meaning: Value) -> TableCell:
    mean = float(row[f"{column}_mean"])
    inside = words.bounds(row[f"{column}_low"], row[f"{column}_high"], meaning)
    shown = words.mean(mean, meaning, results.limit(row["arm"], column))
    return TableCell(repr(mean) if np.isfinite(mean) else "", shown, inside)


def _failed(failed: int, trials: int) -> TableCell:
    """The number of failed trials, with the interval of the failure rate."""
    rate = statistics.failure_rate(failed, trials)
    return TableCell(str(failed), str(failed), f"{words.share(rate.low)} to {words.share(rate.high)}")


@dataclass(frozen=True)
class Compared:
    """A row of the comparison: an arm against the baseline on the compare metric."""

    arm: str
    against: str
    colour: str
    verdict: str
    cells: list[TableCell]
    """Effect, p-value, probability of improvement, interquartile mean, failure rate."""


def _comparison(results: Results, arms: Sequence[str]) -> list[Compared]:
    """The shown arms against the baseline; empty without verdicts. ``arms``: all arms of the page."""
    meaning = results.values[results.metric]
    colours = plots.colours(arms, results.baseline)
    table = tables.verdicts(results)
    if not table["verdict"].any():
        return []
    rows = []
    for _, row in table.head(tables.SHOWN).iterrows():
        inside = words.effect_bounds(row["low"], row["high"], meaning)
        at = f"{words.share(row['confidence'], 1)} interval " if inside else ""
        rate = words.share(row["failure_rate"])
        cells = [
            TableCell("", words.effect(row["effect"], meaning), at + inside),
            TableCell("", tables.bare_p(row["p"]), ""),
            TableCell("", words.share(row["improvement"]), ""),
            TableCell("", words.number(row["iqm"], meaning), ""),
            TableCell("", rate, f"{words.share(row['failure_low'])} to {words.share(row['failure_high'])}"),
        ]
        kind = "baseline" if row["arm"] == results.baseline else row["verdict"] or words.NOTHING
        against = row["baseline"] if row["baseline"] != results.baseline else ""
        rows.append(Compared(row["arm"], against, colours[row["arm"]], kind, cells))
    return rows


def _floors(results: Results) -> dict[str, str]:
    """Column -> the value of real images against real images, from the first trial that recorded it."""
    recorded = next(filter(None, (record.read("floors.json") for record in results.records)), {})
    return {
        column: words.number(float(recorded[column]), meaning) if column in recorded else words.NOTHING
        for column, meaning in results.values.items()
        if recorded
    }


# --- arms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """A picture on the page: caption, file, data URI, and its shown size in pixels."""

    caption: str
    path: Path
    uri: str
    width: int
    height: int
    smooth: bool
    """Whether the page shows it smaller than its file is."""


@dataclass(frozen=True)
class Card:
    """The section of one arm on the page: samples, pictures and figures."""

    arm: str
    colour: str
    baseline: bool
    made_of: str
    outcome: str
    seed: int
    points: bool
    """Whether samples are points in the plane; otherwise they are tiles of pixels."""
    grids: list[Image]
    snapshots: list[artifacts.Picture]
    """All grids over training, of which ``grids`` are some."""
    real: artifacts.Picture | None
    """Real images, drawn in the same way."""
    shown_seed: int
    pictures: list[Image]
    left_out: int
    """The number of pictures that exceed the limit of the page."""
    figures: list[tuple[str, Markup]]
    """Caption and drawing."""


def _cards(results: Results, shown: list[str], drawings: Sequence[figures.Drawing]) -> list[Card]:
    baseline = (results.judged or results).baseline
    colours = plots.colours(results.arms, baseline)
    share = max(len(shown), 1)
    cards = []
    for arm in shown:
        records = results.of(arm)
        first, snapshots = _first_with(artifacts.grids, records)
        grids = artifacts.thinned(snapshots, IMAGE_BYTES // share)
        pictured, pictures = _first_with(artifacts.pictures, records)
        fitting = artifacts.fitting(pictures, PICTURE_BYTES // share)
        cards.append(
            Card(
                arm=arm,
                colour=colours[arm],
                baseline=arm == baseline,
                made_of=" + ".join(filter(None, (records[0].model, records[0].tricks))) + f" on {records[0].data}",
                outcome=_outcome(records),
                seed=first.seed,
                points=_points(first),
                grids=[_image(grid, grid.width) for grid in grids],
                snapshots=snapshots,
                real=artifacts.real(first),
                shown_seed=pictured.seed,
                pictures=[_image(picture, _shown_width(picture)) for picture in fitting],
                left_out=len(pictures) - len(fitting),
                figures=[(drawing.caption, _safe(drawing.inline)) for drawing in drawings if drawing.arm == arm],
            )
        )
    return cards


def _first_with(
    of: Callable[[Record], list[artifacts.Picture]], records: Sequence[Record]
) -> tuple[Record, list[artifacts.Picture]]:
    """The first record with such pictures, and the pictures; if no record has any, the first record and []."""
    found = ((record, of(record)) for record in records)
    return next((pair for pair in found if pair[1]), (records[0], []))


def _animation(cards: Sequence[Card], earlier: Path) -> bytes | None:
    """Samples over training of the baseline, then of the other arms, in the order of the leaderboard."""
    ordered = sorted(cards, key=lambda card: not card.baseline)
    real = next((card.real for card in ordered if card.real), None)
    return animation.gif({card.arm: card.snapshots for card in ordered}, real, earlier)


class Moving(NamedTuple):
    """An animation on the page. It is embedded, unless it is too large."""

    uri: str
    width: int
    height: int


def _gif(content: bytes) -> Moving:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        size = image.size
    embedded = len(content) <= IMAGE_BYTES
    uri = f"data:image/gif;base64,{base64.b64encode(content).decode()}" if embedded else f"figures/{animation.NAME}"
    return Moving(uri, *size)


def _picture_files(shown: Sequence[str], cards: Sequence[Card]) -> dict[str, Path]:
    """Stem of the copy -> file, for all grids and pictures that the page shows."""
    stems = figures.slugs(shown)
    return {
        f"{stems[card.arm]}-{kind}-{figures.slug(image.caption)}": image.path
        for card in cards
        for kind, images in (("samples", card.grids), ("picture", card.pictures))
        for image in images
    }


def _outcome(records: list[Record]) -> str:
    """The number of an arm's trials and failures, the interval of the failure rate, and the median duration."""
    failed = sum(not record.done for record in records)
    seconds = np.median([record.seconds_train for record in records])
    text = f"{words.count(len(records), 'trial')}, {seconds:.0f} s of training each (median)"
    return text + (f"; failed: {words.failures(failed, len(records))}" if failed else "; none failed")


def _image(picture: artifacts.Picture, width: int) -> Image:
    content = base64.b64encode(picture.path.read_bytes()).decode()
    height = round(picture.height * width / max(picture.width, 1))
    uri = f"data:image/png;base64,{content}"
    return Image(picture.caption, picture.path, uri, width, height, smooth=width < picture.width)


def _shown_width(picture: artifacts.Picture) -> int:
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


# --- protocol and environment ----------------------------------------------------------------------------


def _protocol(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """The protocol as (metric, fields): first the fields that all metrics share, then those of each metric."""
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


def _environment(results: Results) -> list[tuple[str, str]]:
    """The machines and versions of the trials: each field with all its values."""
    fields = words.unique(field for record in results.records for field in record.environment)
    return [
        (
            field.replace("_", " "),
            ", ".join(words.unique(r.environment[field] for r in results.records if field in r.environment)),
        )
        for field in fields
    ]


def _safe(drawing: str) -> Markup:
    """Mark a drawing as safe HTML: matplotlib and ``inline`` have escaped its text already."""
    from markupsafe import Markup

    return Markup(drawing)


def _breakable(name: str) -> Markup:
    """An arm's name, escaped; narrow columns may break it after an underscore."""
    from markupsafe import Markup, escape

    return Markup(escape(name).replace("_", Markup("_<wbr>")))
