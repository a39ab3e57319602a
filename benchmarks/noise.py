"""Simulates how well `harness noise` finds known components: the table in docs/noise.md.

python benchmarks/noise.py [--runs 1000]
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from harness.analysis import noise

SHARES = {"weights": 0.3, "order": 0.1, "latents": 0.1, "interactions": 0.4, "evaluation": 0.1}
"""The true share of each source."""
EVALUATIONS = 3


def square(n: int) -> NDArray[np.int64]:
    """The levels (n², 3) of the trials of an arm."""
    row, column = np.divmod(np.arange(n * n), n)
    return np.stack([row, column, noise.latin_square(n)[row, column]], axis=1)


def values(levels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal values (trials, evaluations) whose sources have these shares."""
    sd = {source: np.sqrt(share) for source, share in SHARES.items()}
    total = sd["interactions"] * rng.standard_normal((len(levels), 1))
    for place, stream in enumerate(noise.TRAINING):
        total = total + sd[stream] * rng.standard_normal(levels.max() + 1)[levels[:, place], None]
    return total + sd["evaluation"] * rng.standard_normal((len(levels), EVALUATIONS))


def row(n: int, runs: int) -> str:
    """The median interval of each share over many runs, and how often intervals hold the true one, over all sources."""
    rng, low, high, hits = np.random.default_rng(n), [], [], []
    for _ in range(runs):
        found = noise.split(square(n), values(square(n), rng))
        assert found is not None
        parts = [found.shares[source] for source in SHARES]
        low.append([part.low for part in parts])
        high.append([part.high for part in parts])
        hits.append([part.low <= true <= part.high for part, true in zip(parts, SHARES.values(), strict=True)])
    ranges = zip(np.median(low, axis=0), np.median(high, axis=0), strict=True)
    covered = np.mean(hits, axis=0)
    cells = [f"{100 * one:.0f} to {100 * other:.0f} %" for one, other in ranges]
    return " | ".join([f"| {n}", str(n * n), *cells, f"{100 * covered.min():.0f} to {100 * covered.max():.0f} % |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="runs per row")
    runs = parser.parse_args().runs
    heads = [f"{source}, {100 * share:.0f} %" for source, share in SHARES.items()]
    print(f"| seeds | trials | {' | '.join(heads)} | intervals that hold the true share |")
    print("|---|---|" + "---|" * (len(heads) + 1))
    for n in (3, 4, 5, 7, 10):
        print(row(n, runs))


if __name__ == "__main__":
    main()
