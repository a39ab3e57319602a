"""The summary on the console: leaderboard, verdicts, failures, and the paths of the report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from harness.base import terminal
from harness.base.messages import visible
from harness.report import contrasts, words
from harness.report.page import flag
from harness.report.tables import SHOWN, bare_p, markdown
from harness.report.tuning import Tuning
from harness.suite import choosing

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

    from harness.analysis.agreement import Agreement
    from harness.analysis.comparison import Comparison, Row
    from harness.analysis.results import Results

NEEDED = 75
"""The width of the leaderboard with the compare metric alone, in characters."""
REASONS = 10
"""The largest number of failures that the console lists; the page has all."""


def console(results: Results, report_path: Path, console: Console) -> None:
    """Print the results of a suite. Texts of the user are printed unchanged, never as markup."""
    say = _Sayer(console)
    if results.records:
        console.print(_leaderboard(results, console.width))
        hidden = len(results.arms) - SHOWN
        if hidden > 0:
            say(f"… and {words.count(hidden, 'more arm')} in {report_path.parent / 'leaderboard.csv'}", "dim")
        console.print()
    if text := choosing.told(results.plan):
        say(f"{text}; verdicts are corrected for all comparisons of the suite")
    say(words.headline(results), "bold")
    if (judged := results.judged) is not None:
        for verdict in judged.verdicts():
            say(f"  {words.SYMBOLS[verdict.kind]} {words.sentence(verdict, judged)}")
        for section in contrasts.sections(judged):
            say(section.title, "bold")
            for kind, text in section.sentences:
                say(f"  {words.SYMBOLS[kind]} {text}")
        if text := contrasts.missing(judged):
            say(f"  {text}", "yellow")
    if results.searches:
        _tuning(Tuning(results), say)
    for arm, found in results.mismatched.items():
        say(f"  no verdict on {arm}: {words.odd(found)}", "yellow")
    for text in words.code(results):
        say(f"  {text}", "yellow")
    for text in words.limits(results, [results.metric]):
        say(f"  {text}", "dim")
    if results.unchecked:
        say(f"  {words.unchecked(results)}", "yellow")
    _expectations(judged or results, say)
    _failures(results, say)
    if results.missing:
        say(
            f"{words.count(results.missing, 'trial')} still to do: run the same command again to continue.",
            "yellow",
        )
    say(f"Report   {report_path}")
    tables = ["trials.csv", "leaderboard.csv"] + ["expectations.csv"] * bool(results.plan.suite.expect)
    say(f"Tables   {', '.join(str(report_path.parent / name) for name in tables)}")
    ui = shlex.join(["harness", "ui", *flag(report_path.parent.parent)])
    served = results.store.startswith("http")  # then the server is there already
    say(f"MLflow   {'' if served else f'{ui}, then '}{results.table}" if results.table else f"MLflow   {ui}")


def compared(comparison: Comparison, console: Console) -> None:
    """Print a comparison: its rows, how to read them, and the settings that differ."""
    say = _Sayer(console)
    head, *rows = _compared(comparison)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, title in enumerate(head):
        justify: JustifyMethod = "left" if number == 0 or title == "verdict" else "right"
        # On a narrow console the name and the means wrap; the interval and the columns after it do not.
        table.add_column(Text(title), justify=justify, overflow="fold", no_wrap=number > 3 and title != "verdict")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for text in words.comparing(comparison):
        say(text)
    if comparison.settings:
        settings = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Settings that differ", title_justify="left")
        for title in ("setting", comparison.one, comparison.other):
            settings.add_column(Text(title), overflow="fold")
        for setting in _settings(comparison):
            settings.add_row(*map(Text, setting))
        console.print(settings)


def compared_markdown(comparison: Comparison) -> str:
    """A comparison as Markdown, with the content of ``compared``."""
    head, *rows = _compared(comparison)
    parts = [markdown(head, rows, texts=1), *(f"{text}\n" for text in words.comparing(comparison))]
    if comparison.settings:
        parts.append(markdown(["setting", comparison.one, comparison.other], _settings(comparison), texts=3))
    return "\n".join(parts)


def _settings(comparison: Comparison) -> list[list[str]]:
    return [[words.NOTHING if part is None else part for part in setting] for setting in comparison.settings]


def _compared(comparison: Comparison) -> list[list[str]]:
    """The head and the rows of a comparison; the columns of the test only if something is tested."""
    tested = ["interval", "seeds", "p", "verdict"] if any(row.verdict or row.note for row in comparison.rows) else []
    meaning = comparison.rows[0].meaning if comparison.of == "arm" else None
    of = f"arm, by {meaning.label} {words.arrow(meaning)}" if meaning else comparison.of
    head = [of, comparison.one, comparison.other, "effect" if tested else "difference", *tested]
    return [head, *([*_numbers(comparison, row), *_test(row)[: len(tested)]] for row in comparison.rows)]


def _numbers(comparison: Comparison, row: Row) -> list[str]:
    effect = row.one - row.other if row.verdict is None else row.verdict.effect
    if row.meaning is None:  # no known metric gives this column: print the recorded number
        return [row.name, *(f"{value:.6g}".replace("nan", words.NOTHING) for value in (row.one, row.other, effect))]
    name = row.name if comparison.of == "arm" else f"{row.meaning.label} {words.arrow(row.meaning)}"
    means = [words.number(value, row.meaning) for value in (row.one, row.other)]
    shown = words.number(effect, row.meaning, signed=True) if row.verdict is None else words.effect(effect, row.meaning)
    return [name, *means, shown]


def _test(row: Row) -> list[str]:
    verdict = row.verdict
    if verdict is None or row.meaning is None:
        return [words.NOTHING] * 3 + [row.note]
    inside = words.effect_bounds(verdict.low, verdict.high, row.meaning)
    kind: str = verdict.kind
    if verdict.kind == "no difference larger than δ":
        kind = f"no difference larger than {words.number(verdict.delta, row.meaning)}"
    seeds = str(verdict.n) if verdict.n == verdict.baseline_n else f"{verdict.n}, {verdict.baseline_n}"
    return [inside or words.NOTHING, seeds, bare_p(verdict.p), f"{words.SYMBOLS[verdict.kind]} {kind}"]


def judges(found: Agreement) -> None:
    """Print what two judges say of a suite: the arms by its compare metric, and the agreement on every value."""
    console = terminal.console()
    say = _Sayer(console)
    one, other = found.judges
    for ranking in found.rankings[:1]:
        say(f"{ranking.meaning.label} {words.arrow(ranking.meaning)}, mean over the seeds", "bold")
        table = Table("arm", box=box.SIMPLE_HEAD)
        for name in (one, other):
            table.add_column(Text(f"by {name}"), justify="right")
        for arm in sorted(
            ranking.means, key=lambda arm: ranking.means[arm][0], reverse=ranking.meaning.better == "higher"
        ):
            table.add_row(Text(arm), *(words.number(mean, ranking.meaning) for mean in ranking.means[arm]))
        console.print(table)
    for ranking in found.rankings:
        say(f"  {words.agreeing(ranking, found.judges)}")
    for text in found.left_out:
        say(f"  not judged: {text}", "yellow")
    if not found.rankings:
        say("There are no two arms with a value that depends on the judge.", "yellow")


class _Sayer:
    """Prints lines without markup or highlighting, and without breaking long paths."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, text: str, style: str = "") -> None:
        self.console.print(Text(visible(text), style=style), soft_wrap=True)


def _leaderboard(results: Results, width: int) -> Table:
    """The mean and interval of the compare metric, and the means of as many other values as fit."""
    meaning = results.values[results.metric]
    others = {column: value for column, value in results.values.items() if column != results.metric}
    room = width - NEEDED
    for column, value in list(others.items()):
        room -= len(value.label) + 4  # the arrow, and a blank on either side
        if room < 0:
            del others[column]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(results.plan.suite.name), title_justify="left")
    table.add_column("arm", overflow="fold", min_width=30)
    for head in ("n", "failed"):
        table.add_column(head, justify="right")
    for head in (f"{meaning.label} {words.arrow(meaning)}", "95 % interval"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    for value in others.values():
        table.add_column(Text(f"{value.label} {words.arrow(value)}"), justify="right")
    for _, row in results.leaderboard().head(SHOWN).iterrows():
        metric = results.metric
        table.add_row(
            Text(row["arm"] + (" (baseline)" if row["arm"] == results.baseline else "")),
            str(row["n"]),
            str(row["failed"]),
            words.mean(row[f"{metric}_mean"], meaning, results.limit(row["arm"], metric)),
            words.bounds(row[f"{metric}_low"], row[f"{metric}_high"], meaning) or words.NOTHING,
            *(
                words.mean(row[f"{column}_mean"], value, results.limit(row["arm"], column))
                for column, value in others.items()
            ),
        )
    return table


def _expectations(results: Results, say: _Sayer) -> None:
    """Print each expectation: the figure of the paper and the measured one."""
    findings = results.expectations()
    if not findings:
        return
    say(words.tally(findings), "bold")
    for finding in findings:
        meaning = results.values[finding.expectation.metric]
        ordered = finding.expectation.order is not None
        measured = ", ".join(
            (f"{found.arm} " if ordered else "") + words.measured(found, meaning) for found in finding.measured
        )
        about = meaning.label if ordered else f"{meaning.label} of {finding.measured[0].arm}"
        paper = words.expected(finding, meaning)
        say(
            f"  {words.OUTCOMES[finding.outcome]} {finding.outcome}: {about}: paper {paper}; measured {measured} "
            f"[{finding.expectation.source}]",
            "red" if finding.outcome == "contradicted" else "",
        )
        for step in finding.steps:
            say(f"      {words.tested(step, meaning)}")


def _tuning(tuned: Tuning, say: _Sayer) -> None:
    """Print the winners of a search, where their tuning curves part, and why they cannot be compared."""
    for text in [*tuned.sentences, *tuned.partings]:
        say(f"  {text}")
    for text in tuned.warnings:
        say(f"  {text}", "yellow")


def _failures(results: Results, say: _Sayer) -> None:
    failed = results.failures
    if not failed:
        return
    say(f"{words.count(len(failed), 'trial')} without values:", "bold")
    for record in failed[:REASONS]:
        say(f"  {record.arm}, seed {record.seed}: {record.state}: {record.reason}")
    if len(failed) > REASONS:
        say(f"  … and {len(failed) - REASONS} more in the report", "dim")
