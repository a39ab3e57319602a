"""The report page: one HTML file without external files, and the tables beside it.

This module prepares the values that the template ``page.html.j2`` shows; jinja2 escapes all text.
"""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.analysis import across, interactions, protocol, tuning, visits
from harness.base.files import write_bytes
from harness.report import (
    animation,
    board,
    citation,
    contrasts,
    figures,
    gallery,
    plots,
    sources,
    tables,
    unfinished,
    words,
)
from harness.report.board import TableCell
from harness.report.gallery import Card
from harness.report.tuning import Tuning
from harness.store import views
from harness.suite import choosing, shipped

if TYPE_CHECKING:
    from markupsafe import Markup

    from harness.analysis.expectations import Finding
    from harness.analysis.results import Results
    from harness.report.unfinished import Unfinished

BEGUN = 12
"""Unfinished trials that are shown."""
MOVING_BYTES = 2_400_000
"""The size from which on an animation is a file beside the page, in bytes."""


def write(results: Results, folder: Path, store: Path | None = None, again: str | None = None) -> Path:
    """Write report.html, its tables (CSV and Markdown) and its figures (SVG and PNG) into a folder.

    ``store`` is the results folder, if the folder does not lie in it; ``again`` the command that runs the suite again,
    if it is not the one of this store. Each file is replaced as a whole or left unchanged. Figures of an earlier report
    are removed.

    Returns: the path of the page.
    """
    shown = [str(arm) for arm in results.leaderboard()["arm"][: tables.SHOWN]]
    tuned = Tuning(results) if results.searches else None
    drawings = figures.draw(results, shown) + (tuned.drawings() if tuned else [])
    figures.reuse(folder / "figures", drawings)
    cards = gallery.cards(results, shown, drawings)
    files = texts(results)
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    place = store or folder.parent
    begun = unfinished.trials(results, place)
    moving = _animation(cards, folder / "figures" / animation.NAME)
    others = {animation.NAME: moving} if moving else {}
    pictures = {stem: path for card in cards for stem, path in card.files.items()}
    figures.save(folder / "figures", drawings, pictures, others)
    page = folder / "report.html"
    told = again or command(results, place)
    write_bytes(page, html(results, told, drawings, cards, list(files), moving, begun).encode())
    return page


def texts(results: Results) -> dict[str, str]:
    """Name -> text of the tables beside the page."""
    judged = results.judged or results
    files = {
        "trials.csv": tables.csv(results.trials()),
        "curves.csv": tables.csv(results.curves()),
        "leaderboard.csv": tables.csv(results.leaderboard()),
        "leaderboard.md": tables.leaderboard_markdown(results),
        "verdicts.csv": tables.csv(tables.verdicts(judged)),
        "verdicts.md": tables.verdicts_markdown(judged),
    }
    for name, module in (("interactions", interactions), ("across", across), ("visits", visits)):
        if len(table := module.table(results)):
            files[f"{name}.csv"] = tables.csv(table)
    if results.plan.suite.expect:
        files["expectations.csv"] = tables.csv(judged.expectations_table())
        files["expectations.md"] = _expectations_markdown(judged)
    if results.searches:
        tuned = Tuning(results)
        files["searches.csv"] = tables.csv(tuned.table())
        files["tuning.csv"] = tables.csv(tuning.table(tuned.curves))
    if results.confirmed:
        files["confirmed.csv"] = tables.csv(results.confirmed.trials())
    return files


def command(results: Results, store: Path) -> str:
    """The command line that runs the suite again with the same results folder."""
    arguments = ["harness", "run", shipped.word(results.plan.suite.path)]
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
    files: Sequence[str],
    moving: bytes | None = None,
    begun: Sequence[Unfinished] = (),
) -> str:
    """The page as HTML.

    Args:
        results: the results to show.
        again: the command that runs the suite again.
        drawings: the figures.
        cards: the arms that are shown.
        files: the tables beside the page.
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
    environment.filters |= {"breakable": _breakable, "inline": _inline}
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
        board=board.board(results),
        hidden=len(results.arms) - len(shown),
        lacking=[arm for arm in shown if not all(results.offers(arm, column) for column in results.values)],
        comparison=_comparison(judged, results.arms),
        forest=next((_safe(d.inline) for d in drawings if not d.arm and d.stem == "forest"), None),
        forest_title=next((d.caption for d in drawings if not d.arm and d.stem == "forest"), "Effects"),
        cards=cards,
        stems=figures.slugs(shown),
        seeds_shown=gallery.SEEDS,
        runs_at=views.trials(results.table, results.store),
        in_view=views.TRAINING,
        local=not results.store.startswith("http"),
        files=[name for name in files if name.endswith(".csv")],
        citation=citation.bibtex(results),
        moving=_gif(moving, _all_points(cards)) if moving else None,
        visits=visits.table(results).head(tables.SHOWN).to_dict("records"),
        begun=[(trial, gallery.image(trial.last) if trial.last else None) for trial in begun[:BEGUN]],
        begun_more=len(begun[BEGUN:]),
        failures=results.failures,
        sources=sources.sources(results),
        explained=sources.explained(results),
        protocol=_protocol(results),
        differing=protocol.told(results.protocols),
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


# --- arms ------------------------------------------------------------------------------------------------


def _animation(cards: Sequence[Card], earlier: Path) -> bytes | None:
    """Samples over training of the baseline, then of the other arms, in the order of the leaderboard."""
    ordered = sorted(cards, key=lambda card: not card.baseline)
    real = next((card.plain_real for card in ordered if card.plain_real), None)
    return animation.gif({card.arm: card.snapshots for card in ordered}, real, earlier, _all_points(cards))


def _all_points(cards: Sequence[Card]) -> bool:
    return all(card.points for card in cards)


class Moving(NamedTuple):
    """An animation on the page. It is embedded, unless it is too large. ``points``: it has scatter plots only."""

    uri: str
    width: int
    height: int
    points: bool


def _gif(content: bytes, points: bool) -> Moving:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        size = image.size
    embedded = len(content) <= MOVING_BYTES
    uri = f"data:image/gif;base64,{base64.b64encode(content).decode()}" if embedded else f"figures/{animation.NAME}"
    return Moving(uri, *size, points)


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


def _inline(drawing: figures.Drawing) -> Markup:
    """A drawing as an element of the page."""
    return _safe(drawing.inline)


def _safe(drawing: str) -> Markup:
    """Mark a drawing as safe HTML: matplotlib and ``inline`` have escaped its text already."""
    from markupsafe import Markup

    return Markup(drawing)


def _breakable(name: str) -> Markup:
    """An arm's name, escaped; narrow columns may break it after an underscore."""
    from markupsafe import Markup, escape

    return Markup(escape(name).replace("_", Markup("_<wbr>")))
