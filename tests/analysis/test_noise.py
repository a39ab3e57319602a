"""Components of variance: by hand, of synthetic data with known components, and how often intervals cover them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analysis import noise
from harness.analysis.noise import SOURCES, TRAINING, Part
from harness.metrics.base import Value

Array = NDArray[np.float64]


def square(n: int) -> NDArray[np.int64]:
    """The levels (n², 3) of a Latin square."""
    row, column = np.divmod(np.arange(n * n), n)
    return np.stack([row, column, noise.latin_square(n)[row, column]], axis=1)


def covers(part: Part, true: float) -> bool:
    """Whether an interval holds the true value."""
    return part.low <= true <= part.high


class Made(NamedTuple):
    """Variances that are put into synthetic values."""

    weights: float
    order: float
    latents: float
    interactions: float
    evaluation: float

    def values(self, levels: NDArray[np.int64], evaluations: int, rng: np.random.Generator) -> Array:
        """Normal values (trials, evaluations) with these components."""
        total = np.zeros((len(levels), evaluations))
        for place, variance in enumerate(self[:3]):
            total += np.sqrt(variance) * rng.standard_normal(levels.max() + 1)[levels[:, place], None]
        total += np.sqrt(self.interactions) * rng.standard_normal((len(levels), 1))
        return total + np.sqrt(self.evaluation) * rng.standard_normal(total.shape)


@pytest.mark.parametrize("n", range(3, 13))
def test_a_latin_square(n: int) -> None:
    numbers, made = list(range(n)), noise.latin_square(n)
    assert all(sorted(row) == numbers for row in [*made.tolist(), *made.T.tolist()])
    assert np.diagonal(made).tolist() == numbers
    # No two trials share the seeds of two streams: what needs two streams is alike in no two of them.
    for one, other in itertools.combinations(square(n).tolist(), 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) <= 1


def test_there_is_no_square_of_two() -> None:
    with pytest.raises(ValueError, match="order 2"):
        noise.latin_square(2)


def test_components_by_hand() -> None:
    """The classical table of a Latin square: sums of squares of the means of rows, columns, letters, and the rest."""
    levels, n = square(3), 3
    values = np.array([[1, 3], [4, 4], [9, 11], [2, 2], [7, 5], [1, 1], [6, 8], [3, 3], [5, 9]], dtype=float)
    cells = values.mean(axis=1)
    around = ((cells - cells.mean()) ** 2).sum()
    mean_squares = {}
    for place, stream in enumerate(TRAINING):
        means = [cells[levels[:, place] == level].mean() for level in range(n)]
        mean_squares[stream] = n * sum((mean - cells.mean()) ** 2 for mean in means) / (n - 1)
    residual = (around - (n - 1) * sum(mean_squares.values())) / ((n - 1) * (n - 2))
    evaluation = sum(np.var(pair, ddof=1) for pair in values) / len(values)
    expected = {stream: (square - residual) / n for stream, square in mean_squares.items()}
    expected |= {"interactions": residual - evaluation / 2, "evaluation": evaluation}

    found = noise.split(levels, values)
    assert found is not None
    assert (found.trials, found.evaluations, found.mean) == (9, 2, pytest.approx(values.mean()))
    assert {source: part.raw for source, part in found.components.items()} == pytest.approx(expected)
    assert found.total.value == pytest.approx(sum(expected.values()))
    for source in SOURCES:
        assert found.shares[source].raw == pytest.approx(expected[source] / sum(expected.values()))


@pytest.mark.parametrize("missing", [0, 4])
def test_known_components_are_recovered(monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    monkeypatch.setattr(noise, "DRAWS", 4)  # the intervals are not looked at
    made, rng, found = Made(4, 2, 1, 2, 1), np.random.default_rng(3), []
    for _ in range(1500):
        levels = square(5)[np.sort(rng.permutation(25)[missing:])]
        one = noise.split(levels, made.values(levels, 3, rng))
        assert one is not None
        found.append([*(one.components[source].raw for source in SOURCES), one.total.raw])
    assert np.mean(found, axis=0) == pytest.approx([*made, sum(made)], rel=0.1)


@pytest.mark.parametrize(
    ("made", "n"), [(Made(4, 2, 1, 2, 1), 4), (Made(4, 2, 1, 2, 1), 5), (Made(0.2, 0, 0, 3, 0.5), 5)], ids=str
)
def test_intervals_cover_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch, made: Made, n: int) -> None:
    monkeypatch.setattr(noise, "DRAWS", 1000)
    rng, covered = np.random.default_rng(0), []
    for _ in range(500):
        one = noise.split(square(n), made.values(square(n), 3, rng))
        assert one is not None
        within = [covers(one.components[source], true) for source, true in zip(SOURCES, made, strict=True)]
        within += [covers(one.shares[source], true / sum(made)) for source, true in zip(SOURCES, made, strict=True)]
        covered.append([*within, covers(one.total, sum(made))])
    assert (np.mean(covered, axis=0) > 0.91).all()
    assert (np.mean(covered, axis=0) < 0.995).all()


def test_an_interaction_of_two_streams_is_given_to_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair of weights and order has an effect of its own: neither the weights nor the order has one alone."""
    monkeypatch.setattr(noise, "DRAWS", 4)
    rng, found, levels = np.random.default_rng(1), [], square(5)
    for _ in range(1000):
        effects = rng.standard_normal((5, 5))[levels[:, 0], levels[:, 1]]
        one = noise.split(levels, effects[:, None] + 0.1 * rng.standard_normal((25, 2)))
        assert one is not None
        found.append([one.components[source].raw for source in SOURCES])
    assert np.mean(found, axis=0) == pytest.approx([0, 0, 0, 1, 0.01], abs=0.02)


def test_a_negative_estimate_is_reported_as_nothing_with_the_interval_from_nothing() -> None:
    rng, seen = np.random.default_rng(0), 0
    for _ in range(20):
        one = noise.split(square(4), Made(0, 0, 0, 1, 1).values(square(4), 2, rng))
        assert one is not None
        for part in (*one.components.values(), *one.shares.values()):
            assert part.value == max(0.0, part.raw) or part.value == 1.0 < part.raw
            assert 0 <= part.low <= part.high
            if part.raw < 0:
                seen += 1
                assert part.low == 0
    assert seen > 20


def test_what_cannot_be_split() -> None:
    levels = square(3)
    assert noise.split(levels, np.full((9, 2), 0.5)) is None
    assert noise.split(levels[:7], np.random.default_rng(0).standard_normal((7, 2))) is None  # nothing remains
    assert noise.split(levels, np.random.default_rng(0).standard_normal((9, 1))) is None
    assert noise.split(levels[:0], np.zeros((0, 2))) is None


def pair(n: int, shared: Made, apart: Made, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two arms whose values share some components."""
    common = shared.values(square(n), 3, rng)
    return common + apart.values(square(n), 3, rng), common + apart.values(square(n), 3, rng)


def test_what_pairing_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "DRAWS", 1000)
    shared, apart = Made(2, 0.5, 0, 0.5, 0), Made(0, 0.5, 1, 0.5, 1)
    # Of the variance of a difference, what both arms share is gone.
    true = [covariance / (sum(shared) + sum(apart)) for covariance in (*shared[:3], shared.evaluation, sum(shared))]
    rng, found, covered = np.random.default_rng(4), [], []
    for _ in range(400):
        one = noise.pairing(square(5), *pair(5, shared, apart, rng))
        assert one is not None
        parts = [*one.by.values(), one.whole]
        found.append([part.raw for part in parts])
        covered.append([covers(part, each) for part, each in zip(parts, true, strict=True)])
    assert np.mean(found, axis=0) == pytest.approx(true, abs=0.05)
    assert (np.mean(covered, axis=0) > 0.87).all()


def test_pairing_of_an_arm_with_itself_and_with_its_mirror() -> None:
    one = Made(1, 1, 1, 1, 1).values(square(4), 2, np.random.default_rng(0))
    same, mirrored = noise.pairing(square(4), one, one), noise.pairing(square(4), one, -one)
    assert same is not None
    assert mirrored is not None
    assert (same.whole.value, mirrored.whole.value) == (pytest.approx(1), pytest.approx(-1))
    assert same.by["evaluation"].value == pytest.approx(-mirrored.by["evaluation"].value)
    assert noise.pairing(square(4), one, np.ones_like(one)) is None


def test_values_are_split_as_they_are() -> None:
    assert noise.transformed([1, 2], Value("FID", "lower", "")).tolist() == [1.0, 2.0]


def test_the_interval_of_the_evaluation_covers_if_models_differ_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the models have nine tenths of the variance, so that the other evaluations tell little of it."""
    monkeypatch.setattr(noise, "DRAWS", 1000)
    rng, covered, levels = np.random.default_rng(5), [], square(5)
    variances = np.where(np.arange(25) % 4 == 0, 3.0, 0.1)
    for _ in range(300):
        values = np.sqrt(variances)[:, None] * rng.standard_normal((25, 3))
        one = noise.split(levels, values + rng.standard_normal((25, 1)))
        assert one is not None
        covered.append(covers(one.components["evaluation"], variances.mean()))
    assert np.mean(covered) > 0.9
