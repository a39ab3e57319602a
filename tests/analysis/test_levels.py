"""The levels of repeated looks: against the literature's bounds, and what they spend."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.analysis.levels import ONE, Levels, constant, planned, spent, unplanned


@pytest.mark.parametrize(("looks", "bound"), [(1, 1.960), (2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555)])
def test_constant_levels_are_pocock_s(looks: int, bound: float) -> None:
    """Jennison and Turnbull 2000, table 2.1: Pocock's constants for equal groups, α = .05, two-sided."""
    level = constant(tuple(10 * look for look in range(1, looks + 1)), (), 0.05)
    assert stats.norm.isf(level / 2) == pytest.approx(bound, abs=0.002)


def test_one_look_spends_its_level_and_looks_at_the_same_data_spend_nothing_more() -> None:
    assert spent([5], [0.05]) == [0.05]
    first, second = spent([1000, 1001], [0.05, 0.05])
    assert first == 0.05
    assert second < 0.003
    # Independent data, nearly: the second look sees a thousand times as many.
    assert spent([1, 1000], [0.05, 0.05])[1] == pytest.approx(0.05 * 0.95, abs=0.002)


def test_planned_looks_spend_what_is_stated_and_leave_a_reserve() -> None:
    schedule, taken = [3, 5, 8, 13, 20], list[Levels]()
    for look in range(1, 6):
        taken.append(planned(schedule, look, taken, 0.05))
    levels = [one.at(1) for one in taken]
    assert max(levels) - min(levels) < 1e-4  # one constant
    assert sum(spent(schedule, levels)) == pytest.approx(0.95 * 0.05, rel=0.01)
    # Raised later, the further looks have the rest.
    longer = [*schedule, 32, 40]
    for look in (6, 7):
        taken.append(planned(longer, look, taken, 0.05))
    assert 0.95 * 0.05 < sum(spent(longer, [one.at(1) for one in taken])) < 0.05


def test_unplanned_looks_spend_half_of_the_rest_each() -> None:
    seeds, taken = [3, 4, 7, 20], list[Levels]()
    for look in range(1, 5):
        taken.append(unplanned(seeds[:look], taken, 0.05))
    assert taken[0].at(1) == 0.025
    for questions in (1, 16):
        chances = spent(seeds, [one.at(questions) for one in taken])
        assert chances == pytest.approx([0.05 / questions / 2**look for look in (1, 2, 3, 4)], rel=0.02)


def test_the_levels_of_many_questions() -> None:
    assert [ONE.at(questions) for questions in (1, 2, 15)] == [0.05, 0.025, 0.05 / 15]
    first = unplanned([3], [], 0.05)
    assert [first.at(questions) for questions in (1, 2, 15, 3000)] == pytest.approx(
        [0.025, 0.0125, 0.025 / 15, 0.025 / 3000], rel=1e-6
    )
