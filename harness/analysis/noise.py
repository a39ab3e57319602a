"""Components of the variance of a value: where the noise of a trial comes from. Arrays in, numbers out.

The trials of an arm form a Latin square: n seeds of the weights × n seeds of the order, and the seed of the latents
turns with them so that each of its n seeds meets each of the others once. So any two trials share the seed of at most
one stream. Two trials that share only the weights covary by the component of the weights alone, and everything that
needs two streams at once (an interaction) is in the remainder, and in no stream. Each trained model is evaluated
several times, each time on latents of its own; how far these values lie apart is the component of the evaluation.

The estimates are the classical ones of a three-way layout (each stream's mean square, adjusted for the other two,
against the residual one). They are unbiased for every distribution, also when trials are missing. The intervals take
the effects for normal: every mean square is then a multiple of χ², and the interval of a component holds the middle
95 % of the components that many draws of these χ² give (generalised confidence intervals, Weerahandi 1993; as in
gauge studies, Burdick, Borror and Montgomery 2005).

Two arms are split together: all variances become matrices of variances and covariances, χ² becomes Wishart's
distribution, and the covariances say what pairing the arms by a stream removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis.scales import Measure

if TYPE_CHECKING:
    from harness.metrics.base import Value

TRAINING = ("weights", "order", "latents")
"""The streams of a training, in the order of ``levels``."""
SOURCES = (*TRAINING, "interactions", "evaluation")
"""What the variance is split into."""
LEAST = 3
"""The smallest number of seeds of each stream: with two, nothing is left for the remainder."""
CONFIDENCE = 0.95
DRAWS = 4000
"""Draws for an interval: its bounds are then exact to about a hundredth of its width."""

Array = NDArray[np.float64]


class Part(NamedTuple):
    """A component of a variance, or a share, with its 95 % interval.

    Attributes:
        value: the estimate; 0 if the estimate is negative (the interval then begins at 0).
        low: lower bound, at least 0.
        high: upper bound.
        raw: the estimate as it is, possibly negative; unbiased.
    """

    value: float
    low: float
    high: float
    raw: float


@dataclass(frozen=True)
class Noise:
    """The variance of a value of one arm over its seeds, split.

    Attributes:
        mean: the mean of the value.
        total: the variance of the value of one trial, all of whose streams have new seeds.
        components: source -> its part of the variance, in the unit of the value, squared.
        shares: source -> its share of ``total``, in [0, 1]. They need not add up to 1 where an estimate is negative.
        trials: the number of trials.
        evaluations: the number of evaluations of each of them.
    """

    mean: float
    total: Part
    components: dict[str, Part]
    shares: dict[str, Part]
    trials: int
    evaluations: int


@dataclass(frozen=True)
class Pairing:
    """What pairing two arms removes of the variance of their difference.

    Attributes:
        by: stream -> the share of the variance that is removed if the arms share its seeds, in [−1, 1]: negative if
            pairing adds variance. ``evaluation`` are the latents of the evaluation.
        whole: the share that is removed if they share the seeds of all streams, as paired trials of a suite do.
    """

    by: dict[str, Part]
    whole: Part


def transformed(values: ArrayLike, meaning: Value) -> Array:
    """The values on the scale on which verdicts compare them, and on which their variance is split."""
    return Measure.of(meaning).transformed(values)


def latin_square(n: int) -> NDArray[np.int64]:
    """A Latin square of order n with 0, 1, …, n − 1 on its diagonal: (n, n), each number once in a row and a column.

    Args:
        n: at least 3; there is no such square of order 2.
    """
    if n < LEAST:
        raise ValueError(f"there is no such square of order {n}")
    odd = n - 1 + n % 2
    rows = np.arange(odd)
    square = (2 * rows[:, None] - rows[None, :]) % odd
    if n == odd:
        return square
    # One row and one column more: they take the numbers beside the diagonal, which are all different.
    larger = np.full((n, n), odd)
    larger[:odd, :odd] = square
    beside = (rows + 1) % odd
    larger[rows, odd] = larger[odd, beside] = square[rows, beside]
    larger[rows, beside] = odd
    return larger


def split(levels: ArrayLike, values: ArrayLike) -> Noise | None:
    """Split the variance of one arm's values.

    Args:
        levels: (trials, 3) whole numbers: which seed of the weights, of the order and of the latents a trial has. No
            two trials may share more than one of them (a Latin square, from which trials may be missing).
        values: (trials, evaluations) finite values; at least two evaluations of each trained model.

    Returns:
        The components; None if the trials are too few for them, or if all values are the same.
    """
    values = np.asarray(values, dtype=float)
    found = _Split.of(np.asarray(levels), values[:, :, None])
    if found is None:
        return None
    drawn = found.drawn(np.random.default_rng(0))
    parts = {source: _part(found.parts[source][0, 0], drawn[source][:, 0, 0]) for source in SOURCES}
    total, totals = found.total[0, 0], found.total_of(drawn)[:, 0, 0]
    shares = {
        source: _part(found.parts[source][0, 0] / total, drawn[source][:, 0, 0] / totals, most=1.0)
        for source in SOURCES
    }
    return Noise(float(values.mean()), _part(total, totals), parts, shares, *values.shape)


def pairing(levels: ArrayLike, one: ArrayLike, other: ArrayLike) -> Pairing | None:
    """What pairing two arms by their seeds removes of the variance of their difference.

    Args:
        levels: (trials, 3), as in ``split``.
        one: (trials, evaluations) values of the first arm.
        other: those of the other arm. A trial and an evaluation have the same seeds in both.

    Returns:
        The shares; None where ``split`` of either arm is None.
    """
    found = _Split.of(np.asarray(levels), np.stack([np.asarray(one, float), np.asarray(other, float)], axis=2))
    if found is None:
        return None
    drawn = found.drawn(np.random.default_rng(0))

    def removed(part: Array, total: Array) -> Any:
        return 2 * part[..., 0, 1] / (total[..., 0, 0] + total[..., 1, 1])

    totals = found.total_of(drawn)
    by = {
        source: _part(removed(found.parts[source], found.total), removed(drawn[source], totals), -1.0, 1.0)
        for source in (*TRAINING, "evaluation")
    }
    return Pairing(by, _part(removed(found.total, found.total), removed(totals, totals), -1.0, 1.0))


def _part(raw: float, drawn: Array, least: float = 0.0, most: float = np.inf) -> Part:
    """An estimate with the middle of the draws, both within what is possible."""
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value, low, high = (float(np.clip(each, least, most)) for each in (raw, low, high))
    return Part(value, low, high, float(raw))


class _Square(NamedTuple):
    """A mean square of p values per trial.

    Attributes:
        mean: (p, p).
        freedom: its degrees of freedom; 0 if there is no such mean square.
        times: how often it holds the component of its stream; 0 for residuals.
    """

    mean: Array
    freedom: float
    times: float


@dataclass(frozen=True)
class _Split:
    """The mean squares of p values per trial, and the components (p, p) that follow from them."""

    squares: dict[str, _Square]
    evaluations: int

    @classmethod
    def of(cls, levels: NDArray[np.int64], values: Array) -> _Split | None:
        """The mean squares of values (trials, evaluations, p); None if there are too few trials, or no variance."""
        trials, evaluations, _ = values.shape
        if trials == 0 or evaluations < 2:
            return None
        means = values.mean(axis=1)
        squares = dict(_layout(levels, means))
        squares["evaluation"] = _within(values - means[:, None])
        if not all(square.freedom for square in squares.values()) or not np.ptp(values, axis=(0, 1)).all():
            return None
        found = cls(squares, evaluations)
        return found if (np.diagonal(found.total) > 0).all() else None

    @property
    def parts(self) -> dict[str, Array]:
        """Source -> its component (p, p)."""
        return self._parts({name: square.mean for name, square in self.squares.items()})

    @property
    def total(self) -> Array:
        """The variance of one evaluation of one trial (p, p)."""
        return self.total_of(self.parts)

    @staticmethod
    def total_of(parts: dict[str, Array]) -> Array:
        """The sum of the components."""
        return sum((parts[source] for source in SOURCES[1:]), parts[SOURCES[0]])

    def drawn(self, rng: np.random.Generator) -> dict[str, Array]:
        """Components (draws, p, p) that could have given these mean squares, drawn with the weight that they have."""
        return self._parts({name: _expected(square, rng) for name, square in self.squares.items()})

    def _parts(self, expected: dict[str, Array]) -> dict[str, Array]:
        """The components for these expected mean squares (…, p, p)."""
        residual, evaluation = expected["interactions"], expected["evaluation"]
        parts = {stream: (expected[stream] - residual) / self.squares[stream].times for stream in TRAINING}
        # What remains of the mean of several evaluations of a model holds a part of the evaluation.
        return parts | {"interactions": residual - evaluation / self.evaluations, "evaluation": evaluation}


def _layout(levels: NDArray[np.int64], means: Array) -> Iterator[tuple[str, _Square]]:
    """The mean squares of the streams, each adjusted for the other two, and the residual one ("interactions").

    ``times`` of a stream is n in a whole Latin square; where trials are missing it is less.
    """
    own = [(levels[:, [place]] == np.unique(levels[:, place])).astype(float) for place in range(len(TRAINING))]
    full, rank = _residuals(own)
    for place, stream in enumerate(TRAINING):
        without, fewer = _residuals([other for at, other in enumerate(own) if at != place])
        freedom, among = rank - fewer, own[place]
        between = means.T @ (without - full) @ means
        times = float(np.trace(among.T @ without @ among)) / freedom if freedom else 0.0
        yield stream, _Square(between / max(freedom, 1), freedom, times)
    left = len(means) - rank
    yield "interactions", _Square(means.T @ full @ means / max(left, 1), left, 0.0)


def _within(apart: Array) -> _Square:
    """The mean square of evaluations (trials, evaluations, p) around the mean of their model.

    Models may differ in how far their evaluations lie apart. The mean over models is then less certain than for equal
    ones, which counts as fewer degrees of freedom (Satterthwaite 1946).
    """
    trials, evaluations, p = apart.shape
    own = (apart**2).sum(axis=1) / (evaluations - 1)  # (trials, p)
    whole = trials * (evaluations - 1)
    spread = own.var(axis=0, ddof=1) if trials > 1 else np.zeros(p)
    effective = 2 * trials * own.mean(axis=0) ** 2 / np.maximum(spread, np.finfo(float).tiny)
    flat = apart.reshape(-1, p)
    return _Square(flat.T @ flat / whole, float(np.clip(effective.min(), 1.0, whole)), 0.0)


def _residuals(groups: Sequence[Array]) -> tuple[Array, int]:
    """The projection (trials, trials) onto what these groupings leave of the values, and their rank."""
    design = np.concatenate([np.ones((len(groups[0]), 1)), *groups], axis=1)
    rank = int(np.linalg.matrix_rank(design))
    return np.eye(len(design)) - design @ np.linalg.pinv(design), rank


def _expected(square: _Square, rng: np.random.Generator) -> Array:
    """Draws (draws, p, p) of the expectation of a mean square M: f · M½ W⁻¹ M½, where W is from Wishart's distribution.

    For p = 1 that is f · M / χ², with f degrees of freedom. For p = 2, half a degree more lies between what covers
    variances best (one more) and what covers covariances best (none): ``tests/analysis/test_noise.py`` counts.
    """
    p, freedom = len(square.mean), square.freedom
    values, vectors = np.linalg.eigh(square.mean)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # Bartlett: W = L Lᵀ, with χ on the diagonal of L and normal numbers below it.
    lower = np.tril(rng.standard_normal((DRAWS, p, p)), -1)
    for place in range(p):
        lower[:, place, place] = np.sqrt(rng.chisquare(freedom + (p - 1) / 2 - place, DRAWS))
    half = np.linalg.inv(lower) @ root
    drawn: Array = freedom * np.swapaxes(half, 1, 2) @ half
    return drawn
