"""Objectives on toy logits, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from harness.zoo import objectives
from harness.zoo.objectives import OBJECTIVES, Targets, cross_entropy, minimax, non_saturating

# Logits whose sigmoids are 3/4 and 1/4.
HIGH, LOW = math.log(3), -math.log(3)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_cross_entropy() -> None:
    # D(x) = 3/4 and 1/4 on two real images, D(G(z)) = 1/4 on a fake one:
    # −[ln ¾ + ln ¼]/2 − ln(1 − ¼)
    expected = -(math.log(0.75) + math.log(0.25)) / 2 - math.log(0.75)
    assert float(cross_entropy(logits(HIGH, LOW), logits(LOW), Targets())) == pytest.approx(expected)


def test_cross_entropy_with_a_smooth_target_on_one_side() -> None:
    # real target .9 at D = ¾: −.9 ln ¾ − .1 ln ¼; fake target 0 at D = ¼: −ln ¾
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25) - math.log(0.75)
    assert float(cross_entropy(logits(HIGH), logits(LOW), Targets(real=0.9))) == pytest.approx(expected)


def test_cross_entropy_with_a_smooth_target_on_both_sides() -> None:
    # real .9 at D = ¾: −.9 ln ¾ − .1 ln ¼; fake .2 at D = ¼: −.2 ln ¼ − .8 ln ¾
    expected = -1.7 * math.log(0.75) - 0.3 * math.log(0.25)
    assert float(cross_entropy(logits(HIGH), logits(LOW), Targets(0.9, 0.2))) == pytest.approx(expected)


def test_the_smoothed_discriminator_is_best_at_the_target() -> None:
    # With p_data = p_model the optimum is D = α / 2: the derivative vanishes there.
    alpha = 0.9
    logit = logits(math.log((alpha / 2) / (1 - alpha / 2))).requires_grad_()
    cross_entropy(logit, logit, Targets(real=alpha)).backward()
    assert logit.grad is not None
    assert float(logit.grad) == pytest.approx(0, abs=1e-12)


def test_minimax() -> None:
    # mean of ln(1 − ¼) and ln(1 − ¾)
    assert float(minimax(logits(LOW, HIGH))) == pytest.approx((math.log(0.75) + math.log(0.25)) / 2)


def test_non_saturating() -> None:
    # −mean of ln ¼ and ln ¾
    assert float(non_saturating(logits(LOW, HIGH))) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_gradients_where_the_discriminator_is_sure() -> None:
    # At D(G(z)) ≈ 0 the minimax gradient −D vanishes, the non-saturating one D − 1 does not: that is its point.
    for loss, expected in ((minimax, 0.0), (non_saturating, -1.0)):
        logit = logits(-30.0).requires_grad_()
        loss(logit).backward()
        assert logit.grad is not None
        assert float(logit.grad) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_stay_finite(name: str, size: float) -> None:
    objective = OBJECTIVES[name]
    assert objective.paper
    assert objective.equation
    real, fake = logits(size), logits(-size)
    assert objective.discriminator(real, fake, Targets()).isfinite()
    assert objective.generator(fake, *([real] if objective.relative else [])).isfinite()


def test_wasserstein() -> None:
    # critic: mean(1, 3) − mean(4, 0, 2) = 2 − 2; generator: −mean(1, 3)
    assert float(objectives.wasserstein_critic(logits(4, 0, 2), logits(1, 3), Targets())) == 0
    assert float(objectives.wasserstein(logits(1, 3))) == -2


def test_least_squares() -> None:
    # ½ mean((3 − 1)², (1 − 1)²) + ½ mean((2 − 0)²) = 1 + 2; generator: ½ mean((2 − 1)², (−1 − 1)²) = 1.25
    assert float(objectives.least_squares_critic(logits(3, 1), logits(2), Targets())) == 3
    assert float(objectives.least_squares(logits(2, -1))) == 1.25
    # both targets: ½ (1 − .6)² + ½ mean((.5 − .3)², (.9 − .3)²) = .08 + .1
    assert float(objectives.least_squares_critic(logits(1), logits(0.5, 0.9), Targets(0.6, 0.3))) == pytest.approx(0.18)
    # one-sided smoothing: ½ (1 − .9)² + ½ 0²
    assert float(objectives.least_squares_critic(logits(1), logits(0), Targets(real=0.9))) == pytest.approx(0.005)


def test_hinge() -> None:
    # mean(max(0, 1 − 3), max(0, 1 − 0)) + mean(max(0, 1 − 2), max(0, 1 + 1)) = ½ + 1
    assert float(objectives.hinge_critic(logits(3, 0), logits(-2, 1), Targets())) == 1.5


def test_relativistic() -> None:
    # pairs differ by ln 3 and −ln 3: −mean(ln ¾, ln ¼) for D; for G the differences change sign, the mean is the same
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    real, fake = logits(HIGH, 5), logits(0, 5 + HIGH)
    assert float(objectives.relativistic_critic(real, fake, Targets())) == pytest.approx(expected)
    assert float(objectives.relativistic(fake, real)) == pytest.approx(expected)
    # one pair, D ahead by ln 3: D's loss −ln ¾, G's −ln ¼
    assert float(objectives.relativistic_critic(logits(HIGH), logits(0), Targets())) == pytest.approx(-math.log(0.75))
    assert float(objectives.relativistic(logits(0), logits(HIGH))) == pytest.approx(-math.log(0.25))


@pytest.mark.parametrize("name", ["wasserstein", "relativistic"])
def test_only_differences_count(name: str) -> None:
    objective, real, fake = OBJECTIVES[name], logits(1, -2), logits(0.5, 3)
    one, other = (objective.discriminator(real + shift, fake + shift, Targets()) for shift in (0, 7))
    assert float(one) == pytest.approx(float(other))


PUBLISHED = {
    # Goodfellow et al. 2014, equation 1 and the end of section 3. D = σ(C) is a probability in these two alone.
    "minimax": (cross_entropy, minimax, {"uses_targets", "probabilistic"}),
    "non_saturating": (cross_entropy, non_saturating, {"uses_targets", "probabilistic"}),
    # Arjovsky et al. 2017, algorithm 1: differences of scores, no target.
    "wasserstein": (objectives.wasserstein_critic, objectives.wasserstein, set()),
    # Mao et al. 2017, equation 9: targets 1 and 0 of an output that is no probability.
    "least_squares": (objectives.least_squares_critic, objectives.least_squares, {"uses_targets"}),
    # Miyato et al. 2018, equations 16 and 17: the margin is 1, not a target.
    "hinge": (objectives.hinge_critic, objectives.wasserstein, set()),
    # Huang et al. 2024, equation 2: both losses look at pairs of a real and a generated image.
    "relativistic": (objectives.relativistic_critic, objectives.relativistic, {"relative"}),
}


def test_every_objective_is_in_the_table() -> None:
    assert sorted(PUBLISHED) == sorted(OBJECTIVES)
    assert Targets() == (1, 0)  # Goodfellow et al. 2014: real is 1, generated 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_an_objective_is_made_of_and_says_of_itself(name: str) -> None:
    objective = OBJECTIVES[name]
    stated = {each for each in ("relative", "uses_targets", "probabilistic") if getattr(objective, each)}
    assert (objective.discriminator, objective.generator, stated) == PUBLISHED[name]
