"""Interactions and verdicts over several data sets as text, the same on the page and on the console."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis import across, family, interactions
from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.results import ArmVerdict, Results
    from harness.metrics.base import Value


DELTA = "δ is the mean of those of the comparisons that it is made of, on the scale of the metric."


@dataclass(frozen=True)
class Section:
    """A list of verdicts: its title, kind and sentence of each, and how to read them."""

    title: str
    sentences: Sequence[tuple[str, str]]
    reading: list[str]


def sections(results: Results) -> list[Section]:
    """The verdicts over data sets, and the interactions; none of what a suite does not declare or cannot answer."""
    over, depending = across.found(results), interactions.found(results)
    found = []
    if over:
        sentences = [(one.verdict.kind, over_data(one, results)) for one in over]
        found.append(Section("Over the data sets", sentences, _reading_over(results, over)))
    if depending:
        sentences = [(one.verdict.kind, interaction(one, results)) for one in depending]
        found.append(Section("Interactions", sentences, _reading_interactions(results, depending)))
    return found


def missing(results: Results) -> str:
    """How many of these verdicts that the suite declares cannot be given yet; empty if there are none."""
    declared = [arms for arms in family.open_to(results.plan) if len(arms) > 2]
    left = sum(key not in results.answered() for key in declared)
    if not left or not results.records:
        return ""
    verb = "needs" if left == 1 else "need"
    return (
        f"{words.count(left, 'verdict')} over data sets or on interactions {verb} comparisons that cannot be made yet, "
        "or that are of different protocols."
    )


def interaction(found: interactions.Found, results: Results) -> str:
    """The verdict on an interaction in a sentence or two."""
    meaning, verdict, of = results.values[results.metric], found.verdict, found.of
    arm = family.stem([of.pair[0], of.at[0]]) if of.axis.partition(".")[0] == family.AXIS else of.pair[0]
    at = f"at {of.axis} {of.value} than at {of.other}"
    each = [f"{words.effect(effect, meaning)} at {value}" for effect, value in _effects(found)]
    figures = (
        f"{words.told(verdict.effect, meaning)} relative to the effect at {of.other} ({_sure(verdict, meaning)}): "
        + ", ".join(each)
    )
    if verdict.kind == "no difference larger than δ":
        text = f"{arm} helps or harms as much at {of.axis} {of.value} as at {of.other}, within δ: {figures}"
    elif verdict.kind == "inconclusive":
        known = "" if math.isnan(verdict.effect) else f"{figures}; "
        text = f"{arm}: inconclusive whether it helps more {at}: {known}{words.outlook(verdict, meaning)}"
    else:
        text = f"{arm} {_verb(found, results)} {at}: {figures}"
    return f"{text}.{_lost(verdict)}{_settled(verdict)}"


def _effects(found: interactions.Found) -> list[tuple[float, str]]:
    return [(found.effect, found.of.value), (found.effect_at, found.of.other)]


def _verb(found: interactions.Found, results: Results) -> str:
    """What an arm does more or less; it harms if both effects are harmful as measured."""
    measure = results.measure(results.metric)
    harms = [(effect > measure.neutral) == (measure.better == "lower") for effect, _ in _effects(found)]
    better = found.verdict.kind == "better"
    if all(harms):
        return "harms less" if better else "harms more"
    return "helps more" if better else "helps less"


def over_data(found: across.Found, results: Results) -> str:
    """The verdict over several data sets in a sentence or two."""
    meaning, verdict = results.values[results.metric], found.verdict
    figures = f"{words.told(verdict.effect, meaning)} on average ({_sure(verdict, meaning)}{_iqm(found, meaning)})"
    where = f"over {words.count(len(found.of.data), 'data set')} ({words.listed(words.first(found.of.data))})"
    lost = _lost(verdict)
    if verdict.kind == "no difference larger than δ":
        text = f"shows no difference larger than δ {where}: {figures}"
    elif verdict.kind == "inconclusive":
        known = "" if math.isnan(verdict.effect) else f"{figures}; "
        text = f"is inconclusive {where}: {known}{words.outlook(verdict, meaning)}"
    elif verdict.kind != verdict.rest:
        p = f" ({words.p_value(verdict.share.p)})" if verdict.share else ""
        text = f"is {verdict.kind} {where} by its share of failed and collapsed trials{p}; the rest: {figures}"
    else:
        text = f"is {verdict.kind} {where}: {figures}"
    alone = words.listed([f"{kind} on {number}" for kind, number in found.kinds.items()])
    return f"{found.of.arm} {text}. By themselves: {alone}.{lost}{_settled(verdict)}"


def _iqm(found: across.Found, meaning: Value) -> str:
    inside = words.effect_bounds(found.iqm.low, found.iqm.high, meaning)
    if math.isnan(found.iqm.mean):
        return ""
    bounds = f", 95 % interval {inside}" if inside else ""
    return f"; interquartile mean {words.effect(found.iqm.mean, meaning)}{bounds}"


def _sure(verdict: ArmVerdict, meaning: Value) -> str:
    seeds = words.seeds_of(verdict)
    return f"{words.interval_of(verdict, meaning)}, {seeds}, {words.p_value(verdict.p)}"


def _lost(verdict: ArmVerdict) -> str:
    """The failed and collapsed trials of all arms of a verdict; empty if there are none."""
    if verdict.share is None:
        return ""
    own, other = (
        f"{lost} of {words.count(trials, 'trial')}"
        for lost, trials in (
            (verdict.share.lost, verdict.trials),
            (verdict.share.baseline_lost, verdict.baseline_trials),
        )
    )
    return f" Failed or collapsed: {own}, of the baselines {other}."


def _settled(verdict: ArmVerdict) -> str:
    return f" Settled at look {verdict.settled}." if verdict.settled else ""


def _reading_over(results: Results, found: list[across.Found]) -> list[str]:
    meaning = results.values[results.metric]
    ratio = meaning.target is None and meaning.scale == "ratio"
    mean = "the geometric mean of the factors on" if ratio else "the mean of the differences on"
    return [
        f"The verdict is on {mean} the data sets, each within its own protocol; every data set counts the same. It is "
        "a statement on these data sets, and on no others.",
        "The interquartile mean is that of runs × data sets (rliable), of scores on the metric's scale minus the "
        "baseline's mean on the same data set. Its interval is the bootstrap stratified by data set, widened for few "
        "seeds; it is corrected for nothing, and the verdict does not rest on it.",
        f"{words.count(len(found), 'verdict')} over data sets: tested by Student's t on the spread of all arms, and "
        "corrected together with the comparisons above.",
        DELTA,
    ]


def _reading_interactions(results: Results, found: list[interactions.Found]) -> list[str]:
    meaning = results.values[results.metric]
    ratio = meaning.target is None and meaning.scale == "ratio"
    effect = "a ratio of two factors" if ratio else "a difference of two differences"
    texts = [
        f"An interaction is {effect}: the effect at the first value of {found[0].of.axis}, relative to that at another "
        "value.",
        f"{words.count(len(found), 'interaction')}: tested by Student's t on the spread of all arms, and corrected "
        "together with the comparisons above.",
        DELTA,
    ]
    if any(one.protocols for one in found):
        texts.append(
            "The values of the axis are measured by different protocols. Each effect is measured within one of them; "
            "only effects are compared."
        )
    return texts
