"""Simulates how often verdicts and intervals are right: the tables in docs/statistics.md.

python benchmarks/verdicts.py [--runs 2000]
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import bootstrap

from harness.analysis.statistics import interval, seeds_needed, verdict, verdicts


def covered(n: int, rng: np.random.Generator, skewed: bool, how: str, runs: int) -> float:
    """Share of 95 % intervals that contain the true mean, for normal values or for exp(N(0, 1))."""
    truth, hits = (np.exp(0.5) if skewed else 0.0), 0
    for _ in range(runs):
        values = np.exp(rng.normal(size=n)) if skewed else rng.normal(size=n)
        if how == "t":
            _, low, high = interval(values)
        else:
            found = bootstrap((values,), np.mean, n_resamples=999, method="percentile", rng=rng)
            low, high = found.confidence_interval
        hits += low <= truth <= high
    return hits / runs


def found(n: int, effect: float, rng: np.random.Generator, runs: int) -> float:
    """Share of runs in which an arm is called better that is better by ``effect`` standard deviations.

    The standard deviation is that of the paired differences. For an effect of 0: called better or worse.
    """
    hits = 0
    for _ in range(runs):
        kind = verdict(dict(enumerate(rng.normal(-effect, 1, n))), dict.fromkeys(range(n), 0.0), "lower", 0.0).kind
        hits += kind in (("better",) if effect else ("better", "worse"))
    return hits / runs


def alarms(n: int, arms: int, rng: np.random.Generator, runs: int) -> float:
    """Share of runs in which any of several arms, all equal to the baseline, is called better or worse."""
    hits = 0
    for _ in range(runs):
        baseline = dict(enumerate(rng.normal(size=n)))
        others = {str(arm): dict(enumerate(rng.normal(size=n))) for arm in range(arms)}
        hits += any(v.kind in ("better", "worse") for v in verdicts(others, baseline, "lower", 0.0).values())
    return hits / runs


def guesses(pilot: int, effect: float, rng: np.random.Generator, runs: int) -> str:
    """The total number of seeds that inconclusive pilots estimate: median, and the range of the middle 80 %."""
    numbers = []
    while len(numbers) < runs:
        told = verdict(dict(enumerate(rng.normal(-effect, 1, pilot))), dict.fromkeys(range(pilot), 0.0), "lower", 0.0)
        if told.kind == "inconclusive":
            numbers.append(np.inf if told.further is None else pilot + told.further)
    low, middle, high = (f"{value:.0f}" for value in np.quantile(numbers, (0.1, 0.5, 0.9), method="nearest"))
    return f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=2000, help="runs per interval; half as many per verdict, a quarter per estimate"
    )
    runs = parser.parse_args().runs
    errors(runs)
    print()
    power(runs)


def power(runs: int) -> None:
    """Whether the number of seeds that a verdict suggests is right, and how well few seeds estimate it."""
    rng = np.random.default_rng(1)
    pilots = (3, 5, 10)
    print(
        "| effect | seeds needed | better at that number | "
        + " | ".join(f"estimate of {n} seeds" for n in pilots)
        + " |"
    )
    print("|---|---|---|" + "---|" * len(pilots))
    for effect in (0.5, 1.0, 2.0, 3.0):
        needed = seeds_needed(-effect, 1.0, 0.0)
        assert needed is not None
        estimates = [guesses(pilot, effect, rng, runs // 4) if pilot < needed else "–" for pilot in pilots]
        print(
            f"| {effect:g} sd | {needed} | {100 * found(needed, effect, rng, runs // 2):.0f} % | "
            + " | ".join(estimates)
            + " |"
        )


def errors(runs: int) -> None:
    """Coverage of intervals, false alarms of verdicts, and how often true effects are found."""
    rng = np.random.default_rng(0)
    print("| seeds | t, normal | t, skewed | bootstrap, normal | false alarms | of five | effect 1 sd | 2 sd | 3 sd |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n in (3, 5, 10):
        row = [
            covered(n, rng, False, "t", runs),
            covered(n, rng, True, "t", runs),
            covered(n, rng, False, "bootstrap", runs),
        ]
        row += [found(n, 0.0, rng, runs // 2), alarms(n, 5, rng, runs // 2)]
        row += [found(n, effect, rng, runs // 2) for effect in (1.0, 2.0, 3.0)]
        print(f"| {n} | " + " | ".join(f"{100 * value:.0f} %" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
