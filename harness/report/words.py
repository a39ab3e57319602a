"""Numbers and verdicts as text, the same on the page and on the console."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.analysis import protocol, questions, statistics
from harness.store import identity

if TYPE_CHECKING:
    from harness.analysis.agreement import Ranking
    from harness.analysis.comparison import Comparison
    from harness.analysis.expectations import ArmMean, Finding, Step
    from harness.analysis.loading import OtherCode
    from harness.analysis.looks import Progress
    from harness.analysis.protocol import Difference
    from harness.analysis.results import ArmVerdict, Results
    from harness.analysis.statistics import Limit, Verdict
    from harness.metrics.base import Value
    from harness.store.record import Record

NOTHING = "–"
IDLE = "changes nothing"
"""Of an arm whose values are the baseline's to the bit."""
SYMBOLS = {"better": "▲", "worse": "▼", "no difference larger than δ": "=", "inconclusive": "?"}
"""The symbol of each verdict; the word is always next to it."""

OUTCOMES = {"consistent": "✓", "contradicted": "✗", "cannot tell": "?", "open": "…"}
"""The symbol of each outcome of an expectation; the word is always next to it."""


def number(value: float, meaning: Value, signed: bool = False) -> str:
    """A value with the digits of its metric, in per cent if the metric is a share; a dash if it is not finite."""
    if not math.isfinite(value):
        return NOTHING
    shown = f"{100 * value if meaning.percent else value:{'+' if signed else ''}.{meaning.digits}f}"
    if float(shown) == 0:
        shown = shown.lstrip("+-")  # "0.00" instead of "−0.00"
    return shown.replace("-", "−") + (" %" if meaning.percent else "")


LIMITS = {"lowest": "min", "highest": "max", "constant": "constant"}
"""What a table adds to the mean of an arm whose values are all at a limit of the metric."""


def mean(value: float, meaning: Value, limit: Limit | None) -> str:
    """The mean of an arm; marked if all its values are at a limit of the metric, for example ``10.0 (max)``."""
    shown = number(value, meaning)
    return f"{shown} ({LIMITS[limit]})" if limit else shown


def all_seeds(n: int) -> str:
    """All seeds of an arm that has so many."""
    return f"all {n} seeds" if n > 1 else "the only seed"


def bounds(low: float, high: float, meaning: Value, signed: bool = False) -> str:
    """An interval; empty if there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, meaning, signed)} to {number(high, meaning, signed)}"


def share(value: float, digits: int = 0) -> str:
    """A share in [0, 1] in per cent."""
    return f"{100 * value:.{digits}f}".removesuffix(".0") + " %" if math.isfinite(value) else NOTHING


def p_value(p: float) -> str:
    """A p-value with three digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(n: int, noun: str) -> str:
    """A number with its noun in the singular or plural."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listed(items: Sequence[str]) -> str:
    """The items as "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def arrow(meaning: Value) -> str:
    """The direction that is better, as an arrow; of a target, the target."""
    if meaning.target is not None:
        return f"→ {meaning.target:g}"
    return "↓" if meaning.better == "lower" else "↑"


def effect(value: float, meaning: Value, bare: bool = False) -> str:
    """An effect as the scale of its metric tells it: × 0.62, +3.1 points, −0.12; ``bare``: without × and unit."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else "∞" if value > 0 else "−∞"
    if meaning.target is None and meaning.scale == "ratio":
        shown = f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
        return shown if bare else f"× {shown}"
    if meaning.target is None and meaning.scale == "share":
        shown = f"{100 * value:+.1f}".replace("-", "−")
        return shown if bare else f"{shown} points"
    return number(value, meaning, signed=True)


def effect_bounds(low: float, high: float, meaning: Value) -> str:
    """The interval of an effect; empty if there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{effect(low, meaning, bare=True)} to {effect(high, meaning, bare=True)}"


def told(value: float, meaning: Value) -> str:
    """An effect with its metric: FID × 0.62; Recall +3.1 points; distance of Sharpness to 1 −0.12."""
    label = meaning.label if meaning.target is None else f"distance of {meaning.label} to {meaning.target:g}"
    return f"{label} {effect(value, meaning)}"


def interval_of(verdict: Verdict, meaning: Value) -> str:
    """The interval of an effect with its confidence, for example ``95 % interval 0.48 to 0.81``."""
    inside = effect_bounds(verdict.low, verdict.high, meaning)
    return f"{share(verdict.confidence, 1)} interval {inside}" if inside else "no interval"


def seeds_of(verdict: Verdict) -> str:
    """The seeds that a verdict rests on."""
    if verdict.paired:
        return count(verdict.n, "paired seed")
    if verdict.n == verdict.baseline_n:
        return f"{count(verdict.n, 'seed')} each"
    return f"{count(verdict.n, 'seed')} against {verdict.baseline_n}"


def sentence(verdict: ArmVerdict, results: Results) -> str:
    """A verdict in a few sentences: what, by how much, how sure, and what speaks against it."""
    meaning, baseline = results.values[verdict.metric], verdict.baseline
    if results.changes_nothing(verdict.arm, baseline):
        return (
            f"{verdict.arm} changes nothing: all its values are those of {baseline} to the bit, on every seed. Find "
            "out whether the code that makes the difference runs."
        )
    figures = (
        f"{told(verdict.effect, meaning)} against {baseline} "
        f"({interval_of(verdict, meaning)}, {seeds_of(verdict)}, {p_value(verdict.p)})"
    )
    lost = _lost(verdict, results)
    if math.isnan(verdict.effect) and verdict.kind == "inconclusive":
        text = f"is inconclusive: {outlook(verdict, meaning)}"
    elif verdict.kind == "no difference larger than δ":
        text = f"shows no difference larger than {number(verdict.delta, meaning)}: {figures}"
    elif verdict.kind == "inconclusive":
        text = f"is inconclusive: {figures}; {outlook(verdict, meaning)}"
    elif verdict.kind != verdict.rest:  # the share of lost trials decides
        text = f"is {verdict.kind}: {lost}"
        lost = "" if math.isnan(verdict.effect) else f"the means of the rest: {figures}"
    else:
        text = f"is {verdict.kind}: {figures}"
    settled = f" Settled at look {verdict.settled}." if verdict.settled else ""
    return f"{verdict.arm} {text}{_but(verdict, results)}.{f' {lost[0].upper()}{lost[1:]}.' if lost else ''}{settled}"


def _but(verdict: ArmVerdict, results: Results) -> str:
    """What speaks against a verdict: the other values that say the opposite."""
    parts = []
    for column in results.opposing(verdict)[:OPPOSING]:
        meaning = results.values[column]
        own, other = (
            number(statistics.interval(list(results.by_seed(arm, column).values())).mean, meaning)
            for arm in (verdict.arm, verdict.baseline)
        )
        parts.append(f"{meaning.label} {own}, against {other}")
    return f"; but {listed(parts)}" if parts else ""


OPPOSING = 2
"""The largest number of values that a sentence names against its verdict."""

AT_LIMIT = {
    "lowest": "the lowest possible value",
    "highest": "the highest possible value",
    "constant": "the same value to the last digit",
}
"""Where all values are that cannot tell two arms apart."""


def outlook(verdict: Verdict, meaning: Value) -> str:
    """What would settle an inconclusive verdict."""
    if verdict.limit is not None:
        return f"{AT_LIMIT[verdict.limit]} with every seed of both, where {meaning.label} cannot tell arms apart"
    if verdict.held:
        return "the failed trials prevent a verdict"
    if {verdict.rest, verdict.kind} == {"better", "inconclusive"}:
        return "the means of the rest are better, but more trials are lost"
    if {verdict.rest, verdict.kind} == {"worse", "inconclusive"}:
        return "the means of the rest are worse, but fewer trials are lost"
    if verdict.n < 2 or verdict.baseline_n < 2:
        return "at least two seeds of each are needed"
    if verdict.low == verdict.high:
        return "the values of each arm are all equal; more seeds are needed to rule out chance"
    if verdict.further is None:
        return f"more than {statistics.MOST_SEEDS} seeds would be needed to settle it"
    low, high = verdict.further
    if high is None:
        return f"{count(low, 'more seed')} at best, perhaps many times as many, would settle it"
    return f"{low} to {count(high, 'more seed')} would settle it" if low < high else f"{low} more would settle it"


def _lost(verdict: ArmVerdict, results: Results) -> str:
    """Failed and collapsed trials of both arms with their intervals; empty if there are none."""
    if verdict.share is None:
        return ""
    parts = []
    if verdict.failed or verdict.baseline_failed:
        parts.append(
            f"failed: {failures(verdict.failed, verdict.trials)} of {verdict.arm}, "
            f"{failures(verdict.baseline_failed, verdict.baseline_trials)} of {verdict.baseline}"
        )
    if verdict.collapsed or verdict.baseline_collapsed:
        parts.append(
            f"collapsed ({questions.in_words(results)}): {failures(verdict.collapsed, verdict.trials)} of "
            f"{verdict.arm}, {failures(verdict.baseline_collapsed, verdict.baseline_trials)} of {verdict.baseline}"
            + ("; all trials count in the means, because one of the two has no others" if verdict.whole else "")
        )
    fisher = f" ({p_value(verdict.share.p)})" if verdict.share.p < 1 else ""
    return "; ".join(parts) + fisher


def failures(failed: int, trials: int) -> str:
    """Failed trials with the interval of the failure rate."""
    rate = statistics.failure_rate(failed, trials)
    return f"{failed} of {count(trials, 'trial')} ({share(rate.low)} to {share(rate.high)})"


def headline(results: Results) -> str:
    """The result of the suite in one sentence."""
    if not results.records:
        return "No trial has an outcome yet."
    if results.confirmed is not None and results.confirmed.records:
        return f"The best configurations on new seeds. {headline(results.confirmed)}"
    if results.plan.suite.search is not None:
        return _best(results)
    verdicts = results.verdicts()
    if not verdicts and results.baseline not in results.arms:
        return f"The baseline {results.baseline} has no outcome yet, so there is no verdict."
    if not verdicts:
        if results.mismatched:
            return "The arms were measured by different protocols, so there is no verdict."
        if results.arms != (results.baseline,):
            meaning = results.values[results.metric]
            return f"No arm but {results.baseline} can give {meaning.label}, so there is no verdict."
        return f"{results.baseline} is the only arm, so there is nothing to compare it with."
    meaning = results.values[results.metric]
    idle = [verdict for verdict in verdicts if results.changes_nothing(verdict.arm, verdict.baseline)]
    moving = [verdict for verdict in verdicts if verdict not in idle]
    bases = unique(verdict.baseline for verdict in verdicts)
    several = len(bases) > 1
    parts = [_group(kind, [v for v in moving if v.kind == kind], meaning, several) for kind in SYMBOLS]
    parts.append(_group(IDLE, idle, meaning, several))
    against = f"Against {bases[0]} on" if len(bases) == 1 else "On"
    text = f"{against} {meaning.label}: {'; '.join(part for part in parts if part)}."
    failing = [f"{arm} ({n} of {len(results.of(arm))})" for arm in results.arms if (n := _failed(results, arm))]
    return f"{text} Trials failed: {listed(first(failing))}." if failing else text


def _failed(results: Results, arm: str) -> int:
    return sum(not record.done for record in results.of(arm))


def _best(results: Results) -> str:
    """The best configuration of a search; a search has no verdict against a baseline."""
    column = results.metric
    meaning = results.values[column]
    first = results.leaderboard().iloc[0]
    inside = bounds(first[f"{column}_low"], first[f"{column}_high"], meaning)
    figures = number(first[f"{column}_mean"], meaning) + (f" (95 % interval {inside})" if inside else "")
    return (
        f"Best of {count(len(results.arms), 'configuration')} on {meaning.label}: {first['arm']}, {figures}. "
        "The best of many is partly luck: train it again on new seeds (`search.confirm`) before you rely on the figure."
    )


def _group(kind: str, verdicts: Sequence[ArmVerdict], meaning: Value, several: bool) -> str:
    """The arms with one kind of verdict: up to three by name, more as a number; with baselines if they are several."""
    if not verdicts:
        return ""
    names = []
    for v in verdicts:
        about = [told(v.effect, meaning)] if kind in ("better", "worse") and v.kind == v.rest else []
        about += [f"against {v.baseline}"] if several else []
        names.append(f"{v.arm} ({' '.join(about)})" if about else v.arm)
    many = len(names) > 3
    subject = f"{len(names)} arms" if many else listed(names)
    verb = "is" if len(names) == 1 else "are"
    if kind == "no difference larger than δ":
        shows = "shows" if len(names) == 1 else "show"
        return f"{subject} {shows} no difference larger than {number(verdicts[0].delta, meaning)}"
    if kind == IDLE:
        return f"{subject} {IDLE if len(names) == 1 else 'change nothing'}"
    best = f", best {names[0]}" if many and kind == "better" else ""
    return f"{subject} {verb} {kind}{best}"


def reading(results: Results) -> list[str]:
    """How to read the verdicts: their assumptions and error rates."""
    verdicts = results.verdicts()
    remarks = [unchecked(results)] if results.unchecked else []
    if not verdicts:
        return remarks
    meaning = results.values[results.metric]
    return [
        f"{_scale(meaning)} Spread is shared between the arms that are compared, as far as theirs are alike.",
        f"{count(len(verdicts), 'comparison')} declared: the chance that any of these is called better or worse "
        f"although the two are equal is at most {share(results.look.levels.alpha)}{_looks(results)} (Holm's "
        "correction; an interval has the confidence of its test).",
        _negligible(results, verdicts, meaning),
        *limits(results, results.values),
        "Failed and collapsed trials are outcomes of their own: their share is tested exactly (Fisher), and the means "
        "are over the other trials. A verdict on the means must also hold with a failed trial counted as the worst.",
        *remarks,
    ]


def _negligible(results: Results, verdicts: Sequence[ArmVerdict], meaning: Value) -> str:
    """What counts as no difference."""
    deltas = unique(number(verdict.delta, meaning) for verdict in verdicts)
    if len(deltas) == 1:
        return f"Differences below δ = {deltas[0]} count as none."
    return f"Differences below δ count as none: {share(questions.NEGLIGIBLE)} of what an arm is compared with."


def _scale(meaning: Value) -> str:
    """How the effects of a metric are to be read."""
    if meaning.target is not None:
        return f"Effects are differences of the distance to {meaning.target:g}, the value of real images."
    return {
        "ratio": "Effects are factors: geometric means, arm / baseline.",
        "share": "Effects are differences in percentage points.",
        "plain": "Effects are differences of the means, arm − baseline.",
    }[meaning.scale]


def _looks(results: Results) -> str:
    """Which look it is, if it is not the only one that is paid for."""
    levels = results.look.levels
    if levels.points is None:
        return ""
    return f", over this look (number {levels.look}) and all others together"


def of_round(rounds: Progress) -> str:
    """Which round of a suite comes now, or that there is none."""
    if not rounds.open:
        return "Every verdict is settled: no further round."
    if rounds.over:
        return f"The most seeds are spent: {count(len(rounds.open), 'comparison')} left open."
    seeds = max((trial.seed + 1 for trial in rounds.plan.trials), default=0)
    named = unique(arms[0] for arms in rounds.open)
    return f"Round {len(rounds.path) + 1}: {seeds} seeds of {listed(first(named))}, and of what they are compared with."


def limits(results: Results, columns: Iterable[str]) -> list[str]:
    """A remark on the marks of a table with these columns, if there are any."""
    found = {results.limit(arm, column) for column in columns for arm in results.arms} - {None}
    if not found:
        return []
    marks = listed([f"({mark})" for limit, mark in LIMITS.items() if limit in found])
    return [
        f"{marks}: all values of the arm are at a limit of the metric, or one number to the last digit. The metric "
        "cannot tell arms apart there, so it shows no equality."
    ]


def odd(found: Sequence[Difference]) -> str:
    """Why an arm is not compared: the fields in which its protocol, or the baseline's, differs."""
    return f"measured by another protocol ({'; '.join(protocol.told(found))})"


def code(results: Results) -> list[str]:
    """A sentence for each group of results of other code: the trials, and the modules that changed since."""
    texts = []
    groups: dict[tuple[tuple[str, ...], str], list[Record]] = {}
    for record in results.of_other_code:
        groups.setdefault((record.other_code, record.commit), []).append(record)
    for (modules, commit), records in groups.items():
        arms = unique(record.arm for record in records)
        texts.append(
            f"{count(len(records), 'trial')} of {listed(first(arms))} {'was' if len(records) == 1 else 'were'} trained "
            f"by other code (commit {commit[:12]}); since then {changed(modules)}. `harness run` trains these arms "
            "again."
        )
    by_modules: dict[tuple[str, ...], int] = {}
    for record in results.vouched:
        by_modules[record.vouched] = by_modules.get(record.vouched, 0) + 1
    for modules, n in by_modules.items():
        texts.append(
            f"{count(n, 'trial')} {'was' if n == 1 else 'were'} trained by other code and accepted with `harness run "
            f"--accept-change`: a user states that no number depends on the change ({changed(modules)})."
        )
    return texts


def changes(groups: Iterable[OtherCode]) -> list[str]:
    """A sentence for each change of the code: the trials to train again, and how to keep their results instead."""
    return [
        f"{count(len(group.runs), 'trial')} {'has' if len(group.runs) == 1 else 'have'} results of other code (commit "
        f"{listed(first(sorted(commit[:12] for commit in group.commits)))}); since then "
        f"{changed(group.change.modules)}: to train again. If you know that this changes no number, keep the results: "
        f"`harness run SUITE --accept-change {group.change.digest}`"
        for group in groups
    ]


def changed(modules: Sequence[str]) -> str:
    """The modules that changed, as text."""
    if list(modules) == [identity.UNKNOWN]:
        return "an unknown part of the code changed"
    return f"{listed(first(modules))} changed"


def unchecked(results: Results) -> str:
    """A remark on the trials whose protocols cannot be read."""
    return (
        f"The protocol of {count(len(results.unchecked), 'trial')} was not checked: files are missing, or not on this "
        "machine. These trials may have been measured in another way."
    )


def comparing(comparison: Comparison) -> list[str]:
    """How to read a comparison: the meaning of its numbers, the correction, and the failures."""
    one, other, tested = comparison.one, comparison.other, comparison.tested
    if not tested:
        return [f"Differences are {one} − {other}.", *comparison.remarks]
    texts = [
        f"Effects are those of {one} against {other}: factors (×) for distances and errors, percentage points for "
        f"shares, differences else; of a target (→), differences of the distance to it. Verdicts are on {one}."
    ]
    if len(tested) > 1:
        texts.append(
            f"{len(tested)} {comparison.of}s were tested together: the chance that any of them is called different "
            f"although it is not is at most {share(statistics.ALPHA)} (Holm's correction of p and intervals)."
        )
    open_: dict[str, list[str]] = {}
    for row, verdict in tested:
        if verdict.kind == "inconclusive":
            name = row.name if comparison.of == "arm" or row.meaning is None else row.meaning.label
            what = outlook(verdict, row.meaning) if row.meaning else "no known metric gives this value"
            open_.setdefault(what, []).append(name)
    texts += [f"{listed(names)}: {what}." for what, names in open_.items()]
    # A failed trial lacks every value: with rows per value, one row tells all failures.
    for row, verdict in tested if comparison.of == "arm" else tested[:1]:
        if verdict.failed or verdict.baseline_failed:
            arm = f"{row.name} in " if comparison.of == "arm" else ""
            texts.append(
                f"Failed: {failures(verdict.failed, verdict.trials)} of {arm}{one}, "
                f"{failures(verdict.baseline_failed, verdict.baseline_trials)} of {arm}{other}. Verdicts count a "
                "failed trial as the worst value of any finished trial of the two."
            )
    return [*texts, *comparison.remarks]


def agreeing(ranking: Ranking, judges: tuple[str, str]) -> str:
    """How two judges rank the arms by one value, in one or two sentences."""
    pairs = math.comb(len(ranking.means), 2)
    tau = f"{ranking.correlation:.2f}".replace("-", "−") if math.isfinite(ranking.correlation) else NOTHING
    one, other = (listed(ranking.best(which)) for which in (0, 1))
    best = f"both put {one} first" if one == other else f"{judges[0]} puts {one} first, {judges[1]} {other}"
    text = f"{ranking.meaning.label}: Kendall's τ {tau}; {best}"
    if not ranking.swapped:
        return f"{text}; the order is the same."
    named = [" / ".join(pair) for pair in ranking.swapped]
    return f"{text}; {len(named)} of {count(pairs, 'pair')} in another order: {listed(first(named))}."


def expected(finding: Finding, meaning: Value) -> str:
    """The expected figure or order, with the digits that the suite gives."""
    expectation = finding.expectation
    if expectation.order is not None:
        places = [f"{number}. {' and '.join(first(place))}" for number, place in enumerate(finding.places, start=1)]
        return f"best first: {'; '.join(places)}"
    if expectation.value is not None:
        value = stated(expectation.value, meaning)
        if expectation.error:
            return f"{value} ± {stated(expectation.error, meaning)} (standard error, {expectation.n} runs)"
        return f"{value} ± {stated(expectation.tolerance, meaning)}" if expectation.tolerance else value
    bounds_ = (("at least", expectation.at_least), ("at most", expectation.at_most))
    return ", ".join(f"{side} {stated(bound, meaning)}" for side, bound in bounds_ if bound is not None)


def stated(value: float, meaning: Value) -> str:
    """A figure with the digits that the suite gives."""
    shown = f"{100 * value if meaning.percent else value:.6g}".replace("-", "−")
    return shown + (" %" if meaning.percent else "")


def measured(found: ArmMean, meaning: Value) -> str:
    """A mean with its interval and the number of its seeds."""
    if found.n == 0:
        return f"no value: {count(found.failed, 'trial')} failed" if found.failed else "no value yet"
    inside = bounds(found.low, found.high, meaning)
    of = [f"95 % interval {inside}"] if inside else []
    of += [count(found.n, "seed")] + ([f"{found.failed} more failed"] if found.failed else [])
    return f"{number(found.mean, meaning)} ({', '.join(of)})"


def tested(step: Step, meaning: Value) -> str:
    """The result of the test for one step of an order."""
    if step.n < 2:
        return f"{step.arm} before {step.other}: no test, at least two seeds of each are needed"
    inside = effect_bounds(step.low, step.high, meaning)
    difference = f"{effect(step.effect, meaning)}, 95 % interval {inside}, {p_value(step.p)}"
    return f"{step.arm} before {step.other}: {step.outcome} ({difference})"


def tally(findings: Sequence[Finding]) -> str:
    """The number of expectations per outcome."""
    outcomes = [finding.outcome for finding in findings]
    parts = [f"{outcomes.count(outcome)} {NAMES[outcome]}" for outcome in OUTCOMES if outcome in outcomes]
    return f"{count(len(findings), 'figure')} of the literature: {', '.join(parts)}."


NAMES = {
    "consistent": "consistent with the results",
    "contradicted": "contradicted",
    "cannot tell": "that cannot be told from these seeds",
    "open": "without results yet",
}
"""The outcomes of expectations in a sentence."""


def first(names: Sequence[str], most: int = 3) -> list[str]:
    """The first names, and the number of the others."""
    rest = len(names) - most
    return [*names[:most], f"{rest} more"] if rest > 0 else list(names)


def unique(items: Iterable[str]) -> list[str]:
    """The distinct items, in the order of their first appearance."""
    return list(dict.fromkeys(items))
