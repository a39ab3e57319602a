"""How often verdicts and intervals are right, by simulation: the table in docs/statistics.md.

python benchmarks/verdicts.py
"""

from __future__ import annotations

import numpy as np
from scipy.stats import bootstrap

from harness.statistics import interval, verdict

RUNS = 2000


def covered(n: int, rng: np.random.Generator, skewed: bool, how: str) -> float:
    """Share of intervals at 95 % that hold the true mean, of normal values or of e^N(0, 1)."""
    truth, hits = (np.exp(0.5) if skewed else 0.0), 0
    for _ in range(RUNS):
        values = np.exp(rng.normal(size=n)) if skewed else rng.normal(size=n)
        if how == "t":
            _, low, high = interval(values)
        else:
            found = bootstrap((values,), np.mean, n_resamples=999, method="percentile", rng=rng)
            low, high = found.confidence_interval
        hits += low <= truth <= high
    return hits / RUNS


def found(n: int, effect: float, rng: np.random.Generator) -> float:
    """Share of runs in which an arm that is better by ``effect`` standard deviations (of the paired differences)
    is called better (of those that equal the baseline: called better or worse)."""
    hits = 0
    for _ in range(RUNS // 2):
        kind = verdict(dict(enumerate(rng.normal(-effect, 1, n))), dict.fromkeys(range(n), 0.0), "lower", 0.0).kind
        hits += kind in (("better",) if effect else ("better", "worse"))
    return hits / (RUNS // 2)


def main() -> None:
    rng = np.random.default_rng(0)
    print("| seeds | t, normal | t, skewed | bootstrap, normal | false alarms | effect 1 sd | 2 sd | 3 sd |")
    print("|---|---|---|---|---|---|---|---|")
    for n in (3, 5, 10):
        row = [covered(n, rng, False, "t"), covered(n, rng, True, "t"), covered(n, rng, False, "bootstrap")]
        row += [found(n, effect, rng) for effect in (0.0, 1.0, 2.0, 3.0)]
        print(f"| {n} | " + " | ".join(f"{100 * value:.0f} %" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
