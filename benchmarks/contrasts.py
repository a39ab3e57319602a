"""Simulates interactions and verdicts over data sets: the tables in docs/comparing.md.

python benchmarks/contrasts.py [--runs 4000]

The sums of ``harness.analysis.statistics.Contrast`` are simulated side by side, as arrays; a test holds ``p_values``
equal to ``statistics.answers``.
"""

from __future__ import annotations

import argparse

import numpy as np
import verdicts
from numpy.typing import NDArray
from scipy import stats
from verdicts import head, line, per_cent

from harness.analysis import across, spread

Array = NDArray[np.float64]
SEEDS = (3, 5, 10)


def p_values(groups: Array, weights: Array) -> tuple[Array, Array]:
    """p of "the weighted sum of the means is 0", and its sign; (runs,). groups: (runs, arms, seeds)."""
    mean, variance, n = spread.variances(groups)
    error, freedom = spread.combined(spread.moderated(variance, n, None, weights), n, weights)
    total = (mean * weights).sum(-1)
    p = 2 * stats.t.sf(np.abs(total) / error, freedom)
    pairing = spread.seeds_matter(groups) < spread.PAIRED
    if pairing.any():
        sums = (groups[pairing] * weights[:, None]).sum(1)
        seeds = sums.shape[-1]
        t = sums.mean(-1) / (sums.std(-1, ddof=1) / np.sqrt(seeds))
        p[pairing] = 2 * stats.t.sf(np.abs(t), seeds - 1)
    return p, np.sign(total)


def interaction(arms: int) -> Array:
    """The weights of the first interaction of a suite with so many arms: (arm − base) − (arm − base)."""
    return np.array([1.0, -1.0, -1.0, 1.0, *[0.0] * (arms - 4)])


def over(data: int, arms: int = 1) -> Array:
    """The weights of the first arm over data sets; the arms of a data set: the baseline first."""
    return np.tile([-1.0, 1.0, *[0.0] * (arms - 1)], data) / data


WEIGHTS: dict[str, Array] = {
    "interaction, 2 × 2": interaction(4),
    "interaction, 4 × 2": interaction(8),
    "3 data sets, 1 arm": over(3),
    "3 data sets, 3 arms": over(3, 3),
    "5 data sets, 1 arm": over(5),
}


def alarms(runs: int) -> None:
    """How often a sum that is 0 is called different."""
    columns = [f"{name}, {n} seeds" for name in WEIGHTS for n in SEEDS]
    head(f"False alarms of one contrast, in per cent of {runs} runs; nominal 5", ["spread", *columns])
    for name, draw in verdicts.EQUAL_ARMS.items():
        row = []
        for weights in WEIGHTS.values():
            for n in SEEDS:
                groups = draw(np.random.default_rng([n, len(weights)]), runs, len(weights), n)
                row.append(per_cent((p_values(groups, weights)[0] <= 0.05).mean()))
        line([name, *row])


def resampled(runs: int) -> None:
    """The same with arms resampled from every published table: the smallest and the largest share of its cells."""
    head(
        f"False alarms with arms resampled from published tables, in per cent of {runs} runs",
        ["table", "least", "most"],
    )
    for name, (column, measure) in verdicts.TABLES.items():
        table = verdicts.ROOT / "results" / "published" / name.split(",")[0] / "trials.csv"
        draw = verdicts.published(table, column, measure)
        shares = [
            float((p_values(draw(np.random.default_rng([n, len(w)]), runs, len(w), n), w)[0] <= 0.05).mean())
            for w in WEIGHTS.values()
            for n in SEEDS
            if draw
        ]
        line([name, *(map(per_cent, (min(shares), max(shares))) if shares else ("no spread", "no spread"))])


def power(runs: int) -> None:
    """How often a contrast of so many standard deviations of one value is found."""
    columns = [f"{name}, {n} seeds" for name in WEIGHTS for n in SEEDS]
    head(f"A contrast that is there is found, in per cent of {runs} runs", ["effect", *columns])
    for effect in (1.0, 2.0, 3.0):
        row = []
        for weights in WEIGHTS.values():
            for n in SEEDS:
                groups = np.random.default_rng([n, len(weights), 7]).normal(size=(runs, len(weights), n))
                groups += effect * (weights / (weights**2).sum())[:, None]
                p, sign = p_values(groups, weights)
                row.append(per_cent(((p <= 0.05) & (sign > 0)).mean()))
        line([f"{effect:g} sd", *row])


def coverage(runs: int) -> None:
    """How often 95 % intervals of the difference of interquartile means contain it."""
    columns = ["spread", "data sets", "seeds", "stratified bootstrap (rliable)", "widened", "t, of the means"]
    head(f"Coverage of 95 % intervals over data sets, in per cent of {runs} runs", columns)
    for name in ("alike", "1 to 25", "log-normal", "effects differ"):
        for data in (3, 5):
            for n in SEEDS:
                covered = np.mean([_covered(name, data, n, run) for run in range(runs)], axis=0)
                line([name, data, n, *map(per_cent, covered)])


def _covered(name: str, data: int, n: int, run: int) -> tuple[bool, bool, bool]:
    """Whether each interval contains the true difference, which is 0 but for effects that differ."""
    rng = np.random.default_rng([data, n, run])
    groups = rng.normal(size=(data, 2, n))
    if name == "1 to 25":
        groups *= np.sqrt(np.geomspace(1, 25, data))[:, None, None]
    if name == "log-normal":
        groups = np.exp(groups)
    # Effects −2 … 2: their interquartile mean is that of a mixture, 0 by symmetry.
    if name == "effects differ":
        groups[:, 1] += np.linspace(-2, 2, data)[:, None]
    centred = groups - groups[:, :1].mean(-1, keepdims=True)
    found = across.bootstrap(list(centred[:, 1]), list(centred[:, 0]), repetitions=1000)
    wide = across.widened(found, n, data)
    weights = over(data)
    p, _ = p_values(groups.reshape(1, 2 * data, n), weights)
    return found.low <= 0 <= found.high, wide.low <= 0 <= wide.high, bool(p[0] > 0.05)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    alarms(runs)
    resampled(runs)
    power(runs)
    coverage(runs // 4)


if __name__ == "__main__":
    main()
