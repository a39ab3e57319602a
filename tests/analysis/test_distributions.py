"""The distributions of the tests: equal to scipy.stats, which commands do without because it is slow to import."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from harness.analysis import distributions

X = np.linspace(-6, 6, 25)[:, None]
FREEDOM = np.array([1, 2, 2.5, 7, 38, 1e4])
CHANCES = np.array([1e-12, 1e-4, 0.025, 0.3, 0.5, 0.9])[:, None]


def equal(ours: object, theirs: object, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-300)


def test_student_and_normal() -> None:
    equal(distributions.t_above(X, FREEDOM), stats.t.sf(X, FREEDOM))
    equal(distributions.t_bound(CHANCES, FREEDOM), stats.t.isf(CHANCES, FREEDOM), 1e-7)
    equal(distributions.normal_above(X), stats.norm.sf(X))
    equal(distributions.normal_bound(CHANCES), stats.norm.isf(CHANCES))
    equal(distributions.normal_density(X), stats.norm.pdf(X))


def test_noncentral_student() -> None:
    shift = np.array([0.0, 0.5, 2, 5, 20])[:, None, None]
    ours = distributions.noncentral_t_above(X[X[:, 0] > 0], FREEDOM, shift)
    np.testing.assert_allclose(ours, stats.nct.sf(X[X[:, 0] > 0], FREEDOM, shift), atol=1e-9)


def test_f() -> None:
    above = np.array([0.1, 1, 4, 50])[:, None]
    equal(distributions.f_above(above, 3, FREEDOM), stats.f.sf(above, 3, FREEDOM))


@pytest.mark.parametrize(("total", "marked", "drawn"), [(10, 4, 5), (6, 0, 3), (40, 20, 20), (7, 7, 2)])
def test_hypergeometric(total: int, marked: int, drawn: int) -> None:
    possible = np.arange(max(0, marked + drawn - total), min(marked, drawn) + 1)
    equal(
        distributions.hypergeometric(possible, total, marked, drawn),
        stats.hypergeom.pmf(possible, total, marked, drawn),
    )


@pytest.mark.parametrize("table", [((3, 1), (1, 3)), ((0, 5), (0, 5)), ((5, 0), (0, 5)), ((2, 8), (9, 1))])
def test_fisher(table: tuple[tuple[int, int], tuple[int, int]]) -> None:
    equal(distributions.fisher_above(table), stats.fisher_exact(table, alternative="greater")[1])


def test_fisher_by_hand() -> None:
    # Of the C(8, 4) = 70 ways to draw 4 of 8, 16 have three of the 4 marked ones and 1 has all four.
    assert math.isclose(distributions.fisher_above(((3, 1), (1, 3))), 17 / 70)


@pytest.mark.parametrize(("successes", "n"), [(0, 3), (3, 3), (1, 3), (2, 20), (19, 20)])
def test_wilson(successes: int, n: int) -> None:
    theirs = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    equal(distributions.wilson(successes, n, 0.95), (theirs.low, theirs.high))


def test_a_report_does_without_what_is_slow_to_import() -> None:
    script = "import sys, harness.report, harness.cli.running; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "scipy.special" in imported
    assert not imported & {"scipy.stats", "scipy.optimize", "torch", "mlflow", "optuna", "matplotlib", "sklearn"}
