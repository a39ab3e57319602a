"""Interactions: whether the effect of an arm depends on the value of an axis ("helps more with little data?").

``compare.interaction`` names the axis. For every comparison that ``compare.against`` declares at the first value of the
axis, its effect is compared with that of the same comparison at each other value: (arm − baseline) − (arm at the other
value − its baseline), on the scale of the metric. So it is a ratio of ratios, or a difference of differences. Each
effect is measured within one value of the axis; values of different protocols are never subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from harness.analysis import family
from harness.analysis.family import Interaction

if TYPE_CHECKING:
    from harness.analysis.results import ArmVerdict, Results

COLUMNS = [
    *("axis", "value", "other_value", "arm", "baseline", "other_arm", "other_baseline", "metric", "verdict", "effect"),
    *("low", "high", "confidence", "p", "effect_at_value", "effect_at_other", "delta", "n", "paired", "look"),
]


@dataclass(frozen=True)
class Found:
    """The verdict on an interaction: "better" if the effect is better at the first value of the axis.

    Attributes:
        of: the interaction.
        verdict: the verdict; its effect is that at the first value relative to that at the other.
        effect: the effect at the first value, as the scale tells it.
        effect_at: that at the other value.
        protocols: whether the values of the axis were measured by different protocols.
    """

    of: Interaction
    verdict: ArmVerdict
    effect: float
    effect_at: float
    protocols: bool


def found(results: Results) -> list[Found]:
    """The verdicts on the interactions of a suite, in the order of their declaration."""
    verdicts = {(verdict.arm, verdict.baseline): verdict for verdict in results.verdicts()}
    answered = results.answered()
    return [
        Found(
            one,
            answered[one.key],
            effect=verdicts[one.pair].effect,
            effect_at=verdicts[one.at].effect,
            protocols=bool(results.differing(one.pair[0], one.at[0], results.metric_of(results.metric))),
        )
        for one in family.interactions(results.plan)
        if one.key in answered
    ]


def table(results: Results) -> pd.DataFrame:
    """One row per interaction, as in interactions.csv.

    ``effect`` is that at ``value`` relative to that at ``other_value``; ``verdict`` is "better" if it is better.
    """
    rows = [
        {
            "axis": one.of.axis,
            "value": one.of.value,
            "other_value": one.of.other,
            **dict(zip(COLUMNS[3:7], one.of.key, strict=True)),
            "metric": results.metric,
            "verdict": one.verdict.kind,
            **{name: getattr(one.verdict, name) for name in ("effect", "low", "high", "confidence", "p")},
            "effect_at_value": one.effect,
            "effect_at_other": one.effect_at,
            **{name: getattr(one.verdict, name) for name in ("delta", "n", "paired")},
            "look": one.verdict.settled or one.verdict.look,
        }
        for one in found(results)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
