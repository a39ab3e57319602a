"""Simulates how often verdicts are right: the tables in docs/statistics.md.

python benchmarks/verdicts.py [TABLE …] [--runs 5000]

Runs are simulated side by side, as arrays, with the functions that a verdict is made of; a test holds ``decided``
equal to ``harness.analysis.statistics.answers``.
"""

from __future__ import annotations

import argparse
import csv
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.analysis import levels, spread
from harness.analysis.levels import ONE, Levels
from harness.analysis.questions import negligible
from harness.analysis.scales import Measure
from harness.analysis.statistics import Sample, holm, verdict, verdicts

Array = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
SEEDS, ARMS = (3, 5, 10), (1, 4, 15)
CELLS = [(n, arms) for n in SEEDS for arms in ARMS]


# --- many verdicts at once -------------------------------------------------------------------------------


def p_values(groups: Array, margins: tuple[float, float] = (0.0, 0.0)) -> tuple[Array, Array, Array]:
    """p of a difference, p of equality within the margins, and sign, of each arm against the first; (runs, arms).

    groups: (runs, 1 + arms, seeds); NaN for trials that collapsed, which are seen with unpaired seeds alone.
    """
    mean, variance, n = spread.variances(groups)
    found = spread.moderated(variance, n)
    error, freedom = spread.compared(found, n)
    difference = (mean - mean[:, :1])[:, 1:]
    p, equal = _tested(difference, error[:, 1:], freedom[:, 1:], margins)
    whole = np.isfinite(groups).all((1, 2))
    pairing = np.zeros(len(groups), dtype=bool)
    pairing[whole] = spread.seeds_matter(groups[whole]) < spread.PAIRED
    if pairing.any():
        pairs = (groups - groups[:, :1])[pairing, 1:]
        mean, variance, n = spread.variances(pairs)
        own = spread.moderated(variance, n, baseline=None)
        p[pairing], equal[pairing] = _tested(mean, np.sqrt(own.variance / n), own.freedom, margins)
        difference[pairing] = mean
    return p, equal, np.sign(difference)


def _tested(difference: Array, error: Array, freedom: Array, margins: tuple[float, float]) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stats.t.sf(np.abs(difference) / error, freedom)
        room = np.minimum(difference - margins[0], margins[1] - difference)
        equal = np.where(room > 0, np.minimum(1.0, 2 * stats.t.sf(room / error, freedom)), 1.0)
    return np.nan_to_num(p, nan=1.0), np.nan_to_num(equal, nan=1.0)


def decided(p: Array, at: Levels = ONE, extra: Array | None = None) -> NDArray[np.bool_]:
    """Which questions Holm's procedure rejects; (runs, questions). extra: further questions in each run's family."""
    order = np.argsort(p, 1)
    count = np.full(len(p), p.shape[1]) if extra is None else extra
    table = np.array([0.0, *(at.at(j) for j in range(1, int(count.max()) + 1))])
    left = np.clip(count[:, None] - np.arange(p.shape[1]), 0, None)
    passed = np.take_along_axis(p, order, 1) <= table[left]
    rejected = np.empty_like(passed)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(passed, 1), 1)
    return rejected


def with_shares(groups: Array, lost: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which arms differ by their means, and by their shares of collapsed trials (Fisher, Tarone); (runs, arms)."""
    p, _, _ = p_values(np.where(lost, np.nan, groups))
    counts = lost.sum(2)
    n = groups.shape[2]
    pairs = np.stack([counts[:, 1:], np.broadcast_to(counts[:, :1], counts[:, 1:].shape)])
    fisher, least = _fisher(n)
    own, lowest = fisher[pairs[0], pairs[1]], least[pairs[0] + pairs[1]]
    arms = p.shape[1]
    able = np.zeros_like(own, dtype=bool)
    open_ = np.ones(len(p), dtype=bool)
    for number in range(arms + 1):
        now = lowest <= ONE.at(arms + number)
        fits = open_ & (now.sum(1) <= number)
        able[fits] = now[fits]
        open_ &= ~fits
    both = np.concatenate([p, np.where(able, own, np.inf)], 1)
    rejected = decided(both, extra=arms + able.sum(1))
    return rejected[:, :arms], rejected[:, arms:]


@functools.cache
def _fisher(n: int) -> tuple[Array, Array]:
    """Fisher's two-sided p for a and b of n, and the smallest p for each a + b."""
    table = np.array([[stats.fisher_exact([[a, n - a], [b, n - b]])[1] for b in range(n + 1)] for a in range(n + 1)])
    sums = np.add.outer(np.arange(n + 1), np.arange(n + 1))
    return table, np.array([table[sums == total].min() for total in range(2 * n + 1)])


# --- what runs may look like ------------------------------------------------------------------------------


Draw = Callable[[np.random.Generator, int, int, int], Array]
"""(random numbers, runs, arms with the baseline, seeds) -> values, whose arms are equal."""


def unlike(rise: Sequence[float]) -> Draw:
    """Normal values whose variances rise by a constant factor, from the baseline's to the last arm's."""
    return lambda rng, runs, k, n: np.sqrt(np.geomspace(*rise, k))[None, :, None] * rng.normal(size=(runs, k, n))


def _one(rng: np.random.Generator, runs: int, k: int, n: int, wide: int) -> Array:
    variances = np.ones(k)
    variances[wide] = 25
    return np.asarray(np.sqrt(variances)[None, :, None] * rng.normal(size=(runs, k, n)))


def _half(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
    return np.asarray(np.where(np.arange(k) % 2, 5.0, 1.0)[None, :, None] * rng.normal(size=(runs, k, n)))


def _random(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
    return np.asarray(5 ** rng.uniform(size=(runs, k, 1)) * rng.normal(size=(runs, k, n)))


def inverse_chi2(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
    """Normal values whose variances are 4 / χ²(4)."""
    return np.asarray(np.sqrt(4 / rng.chisquare(4, size=(runs, k, 1))) * rng.normal(size=(runs, k, n)))


def normal(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
    """Normal values with variance 1."""
    return rng.normal(size=(runs, k, n))


def shared(correlation: float) -> Draw:
    """Normal values that have this correlation between arms, seed by seed."""

    def draw(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
        own = np.sqrt(1 - correlation) * rng.normal(size=(runs, k, n))
        return np.asarray(own + np.sqrt(correlation) * rng.normal(size=(runs, 1, n)))

    return draw


def log_normal_by_difference(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
    """Log-normal values (σ = 1), compared as they are."""
    return np.exp(rng.normal(size=(runs, k, n)))


EQUAL_ARMS: dict[str, Draw] = {
    "normal": normal,
    "log-normal, by ratio": lambda rng, runs, k, n: np.log(np.exp(rng.normal(size=(runs, k, n)))),
    "log-normal, by difference": log_normal_by_difference,
    "t with 3 degrees of freedom": lambda rng, runs, k, n: rng.standard_t(3, size=(runs, k, n)),
    "variances 1 to 25, the baseline's 1": unlike((1, 25)),
    "variances 1 to 25, the baseline's 25": unlike((25, 1)),
    "variances 1 to 25, at random": _random,
    "one arm's variance 25, all others 1": lambda rng, runs, k, n: _one(rng, runs, k, n, 1),
    "the baseline's variance 25, all others 1": lambda rng, runs, k, n: _one(rng, runs, k, n, 0),
    "every second variance 25, the others 1": _half,
    "variances 4 / χ²(4)": inverse_chi2,
    "seeds correlated by .3": shared(0.3),
    "seeds correlated by .9": shared(0.9),
}


def collapsing(share: float) -> Callable[[np.random.Generator, int, int, int], tuple[Array, NDArray[np.bool_]]]:
    """Normal values, of which this share lies ten standard deviations off; and which."""

    def draw(rng: np.random.Generator, runs: int, k: int, n: int) -> tuple[Array, NDArray[np.bool_]]:
        lost = rng.random((runs, k, n)) < share
        return rng.normal(size=(runs, k, n)) + 10 * lost, lost

    return draw


def published(table: Path, column: str, measure: Measure) -> Draw | None:
    """Arms resampled from a published table, as "equal" means it there; None for a table without any spread.

    Equal arms have one mean on the metric's scale, and each has the spread of a published arm. Its values are the
    common mean + that spread × a deviation drawn from all arms of the table, each divided by its own arm's standard
    deviation: so the collapses and the skewness of the table are in them. Two things are not in the truth, and are
    taken out: a spread that is estimated from three seeds varies more than the spreads do (Smyth's estimate has less
    of that), and values that are drawn again are equal to the last digit (the smoothed bootstrap, with Silverman's
    width; not for counts, which are equal).
    """
    arms: dict[str, list[float]] = {}
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            arms.setdefault(row["arm"], []).append(float(row[column] or "nan"))
    values = [measure.transformed(own) for own in arms.values() if len(own) >= 3 and np.isfinite(own).all()]
    values = [own for own in values if np.ptp(own) > 1e-9]
    if len(values) < 2:
        return None
    pool = np.concatenate([(own - own.mean()) / own.std() for own in values])
    n = np.array([len(own) for own in values])
    width = 0.0 if column == "modes" else 1.06 * len(pool) ** -0.2
    spreads = np.sqrt(spread.moderated(np.array([own.var(ddof=1) for own in values]), n, None).variance)

    def draw(rng: np.random.Generator, runs: int, k: int, n: int) -> Array:
        deviations = rng.choice(pool, size=(runs, k, n)) + width * rng.normal(size=(runs, k, n))
        return np.asarray(rng.choice(spreads, size=(runs, k, 1)) * deviations / np.sqrt(1 + width**2))

    return draw


# --- the tables -------------------------------------------------------------------------------------------


def line(cells: Sequence[object]) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(title: str, columns: Sequence[str]) -> None:
    """Print the head of a Markdown table."""
    print(f"\n**{title}**\n")
    line(columns)
    line(["---"] * len(columns))


def per_cent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.1f}"


CELL_HEADS = [f"{n} seeds, {arms}" + (" arm" if arms == 1 else " arms") for n, arms in CELLS]


def alarms(runs: int) -> None:
    """How often any of several arms that equal the baseline is called better or worse."""
    head(f"Any false alarm, in per cent of {runs} runs; nominal 5", ["equal arms", *CELL_HEADS])
    for name, draw in EQUAL_ARMS.items():
        row = []
        for n, arms in CELLS:
            p, _, _ = p_values(draw(np.random.default_rng([n, arms]), runs, arms + 1, n))
            row.append(per_cent(decided(p).any(1).mean()))
        line([name, *row])
    for share in (0.1, 0.3):
        row, bare = [], []
        for n, arms in CELLS:
            values, lost = collapsing(share)(np.random.default_rng([n, arms]), runs, arms + 1, n)
            means, shares = with_shares(values, lost)
            row.append(per_cent((means | shares).any(1).mean()))
            bare.append(per_cent(decided(p_values(values)[0]).any(1).mean()))
        line([f"{100 * share:.0f} % collapse, known by the suite's rule", *row])
        line([f"{100 * share:.0f} % collapse, without a rule", *bare])


TABLES = {
    "gan_vs_vae": ("fid", Measure("lower", "ratio", 0, grain=0.01)),
    "gan_zoo": ("fid", Measure("lower", "ratio", 0, grain=0.01)),
    "tricks_ablation": ("fid", Measure("lower", "ratio", 0, grain=0.01)),
    "tricks_ablation_first": ("fid", Measure("lower", "ratio", 0, grain=0.01)),
    "conditional": ("fid", Measure("lower", "ratio", 0, grain=0.01)),
    "mode_collapse_ring": ("fid", Measure("lower", "ratio", 0, grain=1e-4)),
    "mode_collapse_grid": ("fid", Measure("lower", "ratio", 0, grain=1e-4)),
    "mode_collapse_packs": ("fid", Measure("lower", "ratio", 0, grain=1e-4)),
    "mode_collapse_ring, modes": ("modes", Measure("higher", "plain", 0, 8)),
    "mode_collapse_grid, modes": ("modes", Measure("higher", "plain", 0, 25)),
    "mode_collapse_packs, modes": ("modes", Measure("higher", "plain", 0, 25)),
    "one_class_collapse": ("recall", Measure("higher", "share", 0, 1)),
    "one_class_cifar10": ("recall", Measure("higher", "share", 0, 1)),
    "optimal_discriminator": ("optimal_distance", Measure("lower", "ratio", 0, 1, grain=1e-3)),
}
"""The published tables with three seeds or more: their value, and its measure."""


def resampled(runs: int) -> None:
    """The same with arms resampled from every published table."""
    head(
        f"Any false alarm among arms resampled from published tables, in per cent of {runs} runs",
        ["table", *CELL_HEADS],
    )
    for name, (column, measure) in TABLES.items():
        draw = published(ROOT / "results" / "published" / name.split(",")[0] / "trials.csv", column, measure)
        row = []
        for n, arms in CELLS if draw else ():
            assert draw is not None
            p, _, _ = p_values(draw(np.random.default_rng([n, arms]), runs, arms + 1, n))
            row.append(per_cent(decided(p).any(1).mean()))
        line([name, *(row or ["no spread"] * len(CELLS))])


def equality(runs: int) -> None:
    """How often an arm that differs by δ is called equal."""
    head(f"Any arm called equal although all differ by δ, in per cent of {runs} runs", ["δ", *CELL_HEADS])
    for name, draw in (("normal", normal), ("variances 4 / χ²(4)", inverse_chi2), ("variances 1 to 25", _random)):
        for delta in (1.0, 3.0):
            row = []
            for n, arms in CELLS:
                values = draw(np.random.default_rng([n, arms]), runs, arms + 1, n)
                values[:, 1:] += delta
                _, equal, _ = p_values(values, (-delta, delta))
                row.append(per_cent(decided(equal).any(1).mean()))
            line([f"{delta:g} sd, {name}", *row])


def found(draw: Draw, n: int, arms: int, effect: float, runs: int, at: Levels = ONE) -> float:
    """How often one arm of several, better by so many standard deviations, is called better."""
    values = draw(np.random.default_rng([n, arms, 7]), runs, arms + 1, n)
    values[:, 1] -= effect
    p, _, sign = p_values(values)
    return float((decided(p, at)[:, 0] & (sign[:, 0] < 0)).mean())


def power(runs: int) -> None:
    """How often an arm that is better by 1, 2 or 3 standard deviations is called better."""
    head(f"An arm that is better is called better, in per cent of {runs} runs", ["arm", *CELL_HEADS])
    first = levels.unplanned([3], [], 0.05)
    for name, draw in (
        ("variances alike", normal),
        ("variances 4 / χ²(4)", inverse_chi2),
        ("correlated .9", shared(0.9)),
    ):
        for effect in (1.0, 2.0, 3.0):
            line([f"{effect:g} sd, {name}", *(per_cent(found(draw, n, arms, effect, runs)) for n, arms in CELLS)])
        paid = [per_cent(found(draw, n, arms, 3.0, runs, first)) for n, arms in CELLS]
        line([f"3 sd, {name}, further looks paid for", *paid])


def needed(runs: int) -> None:
    """The smallest number of seeds with which an arm that is better is called better four times in five."""
    head("Seeds of each arm that find an arm that is better, four times in five", ["of", "1 sd", "2 sd", "3 sd"])
    for arms in (1, 15):
        row = [
            next(n for n in range(3, 100) if found(normal, n, arms, effect, runs) >= 0.8) for effect in (1.0, 2.0, 3.0)
        ]
        line([f"{arms} " + ("arm" if arms == 1 else "arms"), *row])


def before(runs: int) -> None:
    """The same questions answered by the paired t test with Holm's correction, as verdicts were until 2026."""
    head(f"The paired t test, in per cent of {runs} runs", ["question", *CELL_HEADS])
    for name, draw in EQUAL_ARMS.items():
        line([f"any false alarm: {name}", *(per_cent(_paired_t(draw, n, arms, 0.0, runs)) for n, arms in CELLS)])
    for name, draw in (("variances alike", normal), ("variances 4 / χ²(4)", inverse_chi2)):
        line([f"3 sd better, {name}", *(per_cent(_paired_t(draw, n, arms, 3.0, runs)) for n, arms in CELLS)])


def _paired_t(draw: Draw, n: int, arms: int, effect: float, runs: int) -> float:
    values = draw(np.random.default_rng([n, arms, 7 if effect else 0]), runs, arms + 1, n)
    values[:, 1] -= effect
    pairs = (values - values[:, :1])[:, 1:]
    t = pairs.mean(2) / (pairs.std(2, ddof=1) / np.sqrt(n))
    rejected = decided(2 * stats.t.sf(np.abs(t), n - 1))
    return float((rejected[:, 0] & (t[:, 0] < 0)).mean() if effect else rejected.any(1).mean())


def shares(runs: int) -> None:
    """What the test of the share of collapsed trials finds."""
    head(f"One of several arms collapses more often, in per cent of {runs} runs", ["share", *CELL_HEADS])
    for own, other in ((0.3, 0.0), (0.8, 0.0), (1.0, 0.0), (0.8, 0.3)):
        row = []
        for n, arms in CELLS:
            rng = np.random.default_rng([n, arms])
            lost = rng.random((runs, arms + 1, n)) < other
            lost[:, 1] = rng.random((runs, n)) < own
            _, rejected = with_shares(rng.normal(size=lost.shape), lost)
            row.append(per_cent(rejected[:, 0].mean()))
        line([f"{100 * own:.0f} % against {100 * other:.0f} %", *row])


SCHEDULE = (3, 5, 8, 12, 20)
"""The looks of the table of repeated looks."""


def path(values: Array, schedule: Sequence[int], at: Sequence[Levels]) -> tuple[Array, NDArray[np.bool_]]:
    """Seeds that each arm got until it was settled, and whether it was called different; (runs, arms).

    An arm that is settled gets no more seeds; the baseline gets them as long as any arm is open.
    """
    runs, k = values.shape[:2]
    used = np.full((runs, k - 1), float(schedule[-1]))
    called = np.zeros((runs, k - 1), dtype=bool)
    own = np.full((runs, k), schedule[0])
    for n, level in zip(schedule, at, strict=True):
        own = np.where(np.concatenate([np.zeros((runs, 1), dtype=bool), called], 1), own, n)
        seen = np.where(np.arange(values.shape[2])[None, None, :] < own[:, :, None], values, np.nan)
        p, _, _ = p_values(seen[:, :, :n])
        new = decided(np.where(called, 0.0, p), level) & ~called
        used[new] = n
        called |= new
    return used, called


def looks(runs: int) -> None:
    """Looking again: the error over all looks, and the seeds that a verdict costs."""
    plan = functools.reduce(
        lambda taken, look: [*taken, levels.planned(SCHEDULE, look, taken, 0.05)], range(1, len(SCHEDULE) + 1), []
    )
    columns = ["looks", "effect", "1 arm: called", "seeds in the mean", "5 arms: any called", "seeds in the mean"]
    head(f"Looks at {', '.join(map(str, SCHEDULE))} seeds, in per cent of {runs} runs", columns)
    ways = {"at the planned levels": plan, "at 5 % each": [ONE] * len(SCHEDULE)}
    for name, at in ways.items():
        for effect in (0.0, 1.0, 2.0, 3.0) if at is plan else (0.0,):
            row = []
            for arms in (1, 5):
                values = normal(np.random.default_rng([arms]), runs, arms + 1, SCHEDULE[-1])
                values[:, 1:] -= effect
                used, called = path(values, SCHEDULE, at)
                row += [per_cent(called.any(1).mean()), f"{used.mean():.1f}"]
            line([name, f"{effect:g} sd", *row])
    _one_by_one(runs)


def _one_by_one(runs: int) -> None:
    """Nobody planned the looks: a seed at a time, from 3 to 10 and to 20."""
    head(
        f"A seed at a time, unplanned, one arm, no effect, in per cent of {runs} runs", ["looks", "3 to 10", "3 to 20"]
    )
    values = normal(np.random.default_rng(1), runs, 2, 20)
    for name in ("paid for", "at 5 % each"):
        row, taken = [], list[Levels]()
        for most in (10, 20):
            schedule = list(range(3, most + 1))
            while len(taken) < len(schedule):
                taken.append(levels.unplanned(schedule[: len(taken) + 1], taken, 0.05))
            at = taken if name == "paid for" else [ONE] * len(schedule)
            row.append(per_cent(path(values, schedule, at)[1].any(1).mean()))
        line([name, *row])


def adastop(runs: int) -> None:
    """AdaStop (Mathieu et al. 2023) on the same questions: groups of five seeds, up to twenty, permutation tests."""
    try:
        from adastop import MultipleAgentsComparator
    except ImportError:
        print("\nAdaStop is not installed (pip install adastop): no table.")
        return
    runs = min(runs, 200)  # a permutation test each
    columns = ["arms", "effect", "called", "seeds in the mean", "AdaStop: called", "seeds in the mean"]
    head(f"Looks at {SCHEDULE} seeds, and AdaStop; in per cent of {runs} runs (of no effect: any arm)", columns)
    plan: list[Levels] = []
    for look in range(1, len(SCHEDULE) + 1):
        plan.append(levels.planned(SCHEDULE, look, plan, 0.05))
    for arms in (1, 5):
        for effect in (0.0, 1.0, 2.0, 3.0):
            values = normal(np.random.default_rng(5), runs, arms + 1, 20)
            values[:, 1:] -= effect
            used, called = path(values, SCHEDULE, plan)
            theirs = [_adastop(MultipleAgentsComparator, one, number) for number, one in enumerate(values)]
            their_seeds = np.array([seeds for seeds, _ in theirs])
            their_calls = np.array([calls for _, calls in theirs])
            row = [per_cent(calls.mean() if effect else calls.any(1).mean()) for calls in (called, their_calls)]
            line([arms, f"{effect:g} sd", row[0], f"{used.mean():.1f}", row[1], f"{their_seeds.mean():.1f}"])


def _adastop(comparator: Any, values: Array, seed: int) -> tuple[list[int], list[bool]]:
    """Seeds of each arm, and whether AdaStop calls it different from the first."""
    names = [str(arm) for arm in range(len(values))]
    pairs = np.array([(0, arm) for arm in range(1, len(values))])
    found = comparator(n=5, K=4, B=2000, comparisons=pairs, alpha=0.05, seed=seed)
    for group in range(4):
        seen = dict(zip(names, values[:, : 5 * group + 5], strict=True))
        found.partial_compare(seen, verbose=False)
        if "continue" not in found.decisions.values():
            break
    return [found.n_iters[name] for name in names[1:]], [found.decisions[str(pair)] != "equal" for pair in pairs]


def further(runs: int) -> None:
    """Whether the further seeds that an inconclusive pilot of three is told do settle it."""
    columns = ["effect", "pilots", "least: median", "settled with it", "most: median (none)", "settled with it"]
    head("The range of further seeds, pilots of 3 seeds of one arm", columns)
    for effect in (0.25, 0.5, 1.0, 2.0):
        rng = np.random.default_rng(3)
        told: list[tuple[int, float, bool, bool]] = []
        while len(told) < max(2, runs // 10):
            arm, base = rng.normal(-effect, 1, 1003), rng.normal(size=1003)
            one = verdict(_sample(arm[:3]), _sample(base[:3]), Measure(), 0.1)
            if one.kind == "inconclusive" and one.further is not None:
                low, high = one.further
                told.append((low, high or np.inf, _settled(arm, base, low), high is None or _settled(arm, base, high)))
        lows, highs, at_low, at_high = (np.array(column, dtype=float) for column in zip(*told, strict=True))
        none = f"{np.median(highs):.0f} ({per_cent(np.isinf(highs).mean())} %)"
        bounded = at_high[np.isfinite(highs)]
        settled = per_cent(bounded.mean()) if len(bounded) else "–"
        line([f"{effect:g} sd", len(told), f"{np.median(lows):.0f}", per_cent(at_low.mean()), none, settled])


def _sample(values: Array) -> Sample:
    return Sample(dict(enumerate(values.tolist())))


def _settled(arm: Array, base: Array, more: int) -> bool:
    return verdict(_sample(arm[: 3 + more]), _sample(base[: 3 + more]), Measure(), 0.1).kind != "inconclusive"


def published_verdicts(runs: int) -> None:
    """The verdicts of the published tables by the paired t test, as they were, and as they are now; one look each."""
    columns = ["table", "arm", "paired t", "p", "now", "p", "effect", "interval"]
    head("Published verdicts, against the first arm of each table, before and now", columns)
    changed = total = 0
    for name, (column, measure) in TABLES.items():
        samples: dict[str, dict[int, float]] = {}
        with (ROOT / "results" / "published" / name.split(",")[0] / "trials.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                samples.setdefault(row["arm"], {})[int(row["seed"])] = float(row[column] or "nan")
        baseline, *others = samples
        stated = 0.5 if column == "modes" else None
        before = _before(samples, measure, stated)
        delta = negligible(samples[baseline], measure) if stated is None else stated
        arms = {arm: Sample(samples[arm]) for arm in others}
        for arm, now in verdicts(arms, Sample(samples[baseline]), measure, delta).items():
            kind, p = before[arm]
            total, changed = total + 1, changed + (kind != now.kind)
            if kind != now.kind:
                told = [f"{now.p:.3f}", f"{now.effect:.3g}", f"{now.low:.3g} to {now.high:.3g}"]
                line([name, arm, kind, f"{p:.3f}", now.kind, *told])
    print(f"\n{changed} of {total} verdicts changed; the others are the same.")


def _before(
    samples: dict[str, dict[int, float]], measure: Measure, stated: float | None
) -> dict[str, tuple[str, float]]:
    """Verdicts and corrected p-values by the paired t test on differences of plain values."""
    baseline, *others = samples
    delta = 0.05 * abs(np.mean(list(samples[baseline].values()))) if stated is None else stated
    raw, equal, means = [], [], []
    for arm in others:
        pairs = np.array([samples[arm][seed] - samples[baseline][seed] for seed in samples[baseline]])
        error, mean = pairs.std(ddof=1) / np.sqrt(len(pairs)), pairs.mean()
        raw.append(2 * stats.t.sf(abs(mean) / error, len(pairs) - 1) if error else float(mean == 0))
        room = (delta - abs(mean)) / error if error else np.inf * (delta - abs(mean))
        equal.append(min(1.0, 2 * stats.t.sf(room, len(pairs) - 1)))
        means.append(mean)
    found = {}
    for arm, p, same, mean in zip(others, holm(raw), holm(equal), means, strict=True):
        kind = "better" if (mean < 0) == (measure.better == "lower") else "worse"
        found[arm] = ("no difference larger than δ" if same <= 0.05 else kind if p <= 0.05 else "inconclusive", p)
    return found


ALL: dict[str, Callable[[int], None]] = {
    "alarms": alarms,
    "resampled": resampled,
    "equality": equality,
    "power": power,
    "needed": needed,
    "before": before,
    "shares": shares,
    "looks": looks,
    "adastop": adastop,
    "further": further,
    "published": published_verdicts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(ALL)}; all if none is given")
    parser.add_argument("--runs", type=int, default=5000, help="simulated suites in each cell")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.tables if name not in ALL]:
        sys.exit(f"no table {', '.join(unknown)}: give some of {', '.join(ALL)}")
    for name in chosen.tables or ALL:
        ALL[name](chosen.runs)


if __name__ == "__main__":
    main()
