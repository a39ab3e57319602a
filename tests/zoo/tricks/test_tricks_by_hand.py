"""The hooks of tricks in games of a few numbers, against values worked out by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.tricks import diff_augment
from harness.zoo.tricks.gradient_penalty import GradientPenalty, GradientPenaltySettings
from harness.zoo.tricks.historical_averaging import HistoricalAveraging, HistorySettings
from harness.zoo.tricks.layers import Nearness, Normalised, StandardDeviation
from harness.zoo.tricks.unrolling import Moments, Unrolling, UnrollingSettings, adam

RNG = torch.Generator()


class Draws:
    """In the place of one of torch's random functions: gives these values in turn, and keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, function: str, *values: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._left = iter(values)
        monkeypatch.setattr(torch, function, self)

    def __call__(self, *asked: Any, device: Any = None, generator: Any = None) -> Tensor:
        self.asked.append(asked)
        return torch.as_tensor(next(self._left))


def made(name: str, **settings: Any) -> Any:
    return registry.choose("tricks", {"name": name, **settings}).make()


def image(*values: float) -> Tensor:
    """Images of one pixel."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def slopes(images: Tensor) -> Tensor:
    """C(x) = ½ x²: its slope is x."""
    return images.flatten(1).square().sum(1) / 2


@pytest.mark.parametrize(
    ("around", "draws", "expected"),
    [
        # x̂ = ¾ · 2 + ¼ · 6 = 3 and ½ · 4 + ½ · (−4) = 0; 10 · ½ ((3 − 1)² + (0 − 1)²)
        ("interpolates", [[0.75, 0.5]], 25.0),
        # std of (2, 4) is √2. Noise (½, ¼) √2 and shares (√2, 2 √2) have x̂ = x + ½ · √2 · ½ · √2 = x + ½ for both:
        # 10 · ½ ((2.5 − 1)² + (4.5 − 1)²)
        ("data", [[0.5, 0.25], [2**0.5, 2 * 2**0.5]], 72.5),
    ],
)
def test_where_the_gradient_penalty_looks(
    around: str, draws: list[list[float]], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    Draws(monkeypatch, "rand", *(image(*values) for values in draws))
    trick = GradientPenalty(GradientPenaltySettings(around=around))
    # Generated images have no critic of their own: labels are those of the real ones.
    real, fake = SimpleNamespace(images=image(2, 4), critic=slopes), SimpleNamespace(images=image(6, -4))
    term = trick.discriminator_loss(SimpleNamespace(rng=RNG), real, fake)  # type: ignore[arg-type]
    assert float(term) == pytest.approx(expected)


@pytest.mark.parametrize(("done", "final", "expected"), [(0.25, None, 3.0), (0.25, 6.0, 3.375), (1.0, 0.0, 0.0)])
def test_the_weight_of_r1_over_the_training(done: float, final: float | None, expected: float) -> None:
    # C = ½ x² at 1 and √2: the mean of the squared slopes is 1½. γ is 4, or 4 + ¼ (6 − 4) = 4.5, or 0.
    seen = image(1, 2**0.5)
    real = SimpleNamespace(images=seen, before=seen, critic=slopes, whole_critic=slopes)
    term = made("r1", weight=4.0, final=final).discriminator_loss(SimpleNamespace(done=torch.tensor(done)), real, None)
    assert float(term) == pytest.approx(expected)


@pytest.mark.parametrize(("done", "expected"), [(0.0, [1.4, 0.8]), (0.25, [1.2, 0.9]), (0.5, [1, 1]), (0.9, [1, 1])])
def test_instance_noise_is_added(done: float, expected: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    # σ = .2 (1 − done / ½) = .2, .1, 0, 0; the noise is 2 and −1
    drawn = Draws(monkeypatch, "randn", image(2, -1))
    noisy = made("instance_noise", sigma=0.2, until=0.5).discriminator_input(
        image(1, 1), SimpleNamespace(done=torch.tensor(done), rng=RNG)
    )
    assert noisy.flatten().tolist() == pytest.approx(expected)
    assert drawn.asked == [((2, 1, 1, 1),)]


def test_weight_clipping_cuts_off_on_both_sides_what_is_beyond_the_limit() -> None:
    critic = nn.Linear(4, 1)
    critic.weight.data = torch.tensor([[-3.0, -0.25, 0.25, 0.75]])
    critic.bias.data = torch.tensor([2.0])
    made("weight_clipping", limit=0.5).after_discriminator_step(SimpleNamespace(discriminator=critic))
    assert critic.weight.tolist() == [[-0.5, -0.25, 0.25, 0.5]]
    assert critic.bias.tolist() == [0.5]


class Players:
    """Two players of a parameter each."""

    def __init__(self, generator: float, discriminator: float) -> None:
        self.generator, self.discriminator = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.move(generator, discriminator)

    def move(self, generator: float, discriminator: float) -> Any:
        self.generator.weight.data.fill_(generator)
        self.discriminator.weight.data.fill_(discriminator)
        return self


def test_historical_averages_of_three_values_and_on_from_a_checkpoint() -> None:
    trick, game = HistoricalAveraging(HistorySettings(weight=0.5)), Players(1, 6)
    trick.begin(game)  # type: ignore[arg-type]
    trick.after_step(game.move(3, 6))
    trick.after_step(game.move(8, 3))
    # ½ (8 − mean(1, 3, 8))² = ½ · 4²; ½ (3 − mean(6, 6, 3))² = ½ · 2²
    assert float(trick.generator_loss(game, None, None)) == 8  # type: ignore[arg-type]
    assert float(trick.discriminator_loss(game, None, None)) == 2  # type: ignore[arg-type]
    state, other, apart = copy.deepcopy(trick.state_dict()), HistoricalAveraging(trick.settings), Players(-9, -9)
    other.begin(apart)  # type: ignore[arg-type]
    other.load_state_dict(state)
    other.after_step(apart.move(0, 9))
    assert [average.item() for [average] in other.averages.values()] == [3, 6]  # (1 + 3 + 8 + 0) / 4, (15 + 9) / 4


def test_the_term_of_historical_averaging_pulls_back() -> None:
    trick, game = HistoricalAveraging(HistorySettings(weight=0.5)), Players(1, 1)
    trick.begin(game)  # type: ignore[arg-type]
    trick.generator_loss(game.move(4, 1), None, None).backward()  # type: ignore[arg-type, no-untyped-call]
    assert game.generator.weight.grad is not None
    assert game.generator.weight.grad.item() == 3  # the derivative of ½ (θ − 1)² at 4


def test_the_reconstructor_takes_adam_s_step_and_forgets_its_gradient() -> None:
    game = build({"name": "gan", "architecture": {"name": "mlp", "width": 4}}, tricks=["latent_reconstruction"])
    [trick] = game.tricks
    assert trick.optimiser.defaults["fused"]  # the other implementation rounds otherwise
    before = [parameter.detach().clone() for parameter in trick.network.parameters()]
    for parameter in trick.network.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    trick.after_step(game)
    for old, new in zip(before, trick.network.parameters(), strict=True):
        assert torch.allclose(new, old - 1e-3, atol=1e-6)  # Adam's first step is the rate, whatever the gradient
        assert new.grad is None or not new.grad.any()


def test_the_reconstructor_goes_on_from_a_checkpoint() -> None:
    def stepped(trick: Any, gradient: float) -> list[Tensor]:
        for parameter in trick.network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        trick.after_step(None)
        return [parameter.detach().clone() for parameter in trick.network.parameters()]

    model = {"name": "gan", "architecture": {"name": "mlp", "width": 4}}
    one, other = (build(model, tricks=["latent_reconstruction"], seed=seed).tricks[0] for seed in (0, 1))
    before = stepped(one, 1.0)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    # Adam's means are of both gradients, 1 and −1 / 10: a second first step would go the other way.
    after = stepped(one, -0.1)
    for old, new, loaded in zip(before, after, stepped(other, -0.1), strict=True):
        assert torch.equal(new, loaded)
        assert (new < old).all()


def test_images_are_shifted_down_and_to_the_right_each_by_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three images of 2 × 3 pixels in two channels, shifted by (1, 1), (0, −2) and (−1, 0); B is background.
    drawn = Draws(monkeypatch, "randint", [1, 0, -1], [1, -2, 0])
    one = torch.tensor([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]).float()
    b = diff_augment.BACKGROUND
    moved = diff_augment.translated(torch.stack([one, one + 20, one + 40]), 0.5, RNG)
    assert b == -1  # black: facts of the data, images are in [−1, 1]
    assert moved[0].tolist() == [[[b, b, b], [b, 1, 2]], [[b, b, b], [b, 7, 8]]]
    assert moved[1].tolist() == [[[23, b, b], [26, b, b]], [[29, b, b], [32, b, b]]]
    assert moved[2].tolist() == [[[44, 45, 46], [b, b, b]], [[50, 51, 52], [b, b, b]]]
    assert drawn.asked == [(-1, 2, (3,)), (-2, 3, (3,))]  # up to half of 2 and of 3 (1.5, rounded), both ends included


def test_a_rectangle_is_covered_each_at_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 4 rows and 6 columns, .5 of the sides: 2 rows, from middle − 1 on; 3 columns, from middle − 1 on.
    drawn = Draws(monkeypatch, "randint", [[2], [0]], [[1], [5]])
    covered = diff_augment.covered(torch.full((2, 2, 4, 6), 7.0), 0.5, RNG) == diff_augment.BACKGROUND
    rows, columns = covered.any(3), covered.any(2)
    for channel in (0, 1):
        assert rows[0, channel].tolist() == [False, True, True, False]
        assert columns[0, channel].tolist() == [True, True, True, False, False, False]
        assert rows[1, channel].tolist() == [True, False, False, False]
        assert columns[1, channel].tolist() == [False, False, False, False, True, True]
    assert covered.sum((1, 2, 3)).tolist() == [2 * 6, 2 * 2]
    assert drawn.asked == [(0, 5, (2, 1)), (0, 6, (2, 1))]  # an even side lies between pixels: one place more


@pytest.mark.parametrize(("channels", "colour", "draws"), [(3, True, 3), (3, False, 0), (1, True, 0), (4, True, 0)])
def test_which_images_are_coloured(channels: int, colour: bool, draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Draws(monkeypatch, "rand", *[torch.full((1, 1, 1, 1), 0.25)] * 3)
    trick = made("diff_augment", translation=0.0, cutout=0.0, colour=colour)
    seen = torch.zeros(1, channels, 2, 2)
    assert torch.equal(trick.discriminator_input(seen, SimpleNamespace(rng=torch.Generator())), seen) == (not draws)
    assert drawn.asked == [(1, 1, 1, 1)] * draws


def test_augmentation_is_refused_for_points_alone() -> None:
    plugin = registry.find("tricks", "diff_augment").plugin
    settings = diff_augment.AugmentSettings()
    for height, width in ((1, 1), (1, 2), (2, 1), (28, 28)):
        refused = plugin.refusal(settings, Shape(1, height, width, 10)) is not None
        assert refused == ((height, width) == (1, 1))


def test_the_deviation_of_equal_images_is_the_root_of_what_keeps_it_from_0() -> None:
    assert StandardDeviation()(torch.ones(3, 2))[:, 2].tolist() == pytest.approx([1e-4] * 3)  # √1e-8


def test_the_first_projection_has_the_scale_of_a_root_of_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Draws(monkeypatch, "randn", torch.ones(16, 6))
    assert torch.equal(Nearness(16, kernels=3, dimensions=2).projection.data, torch.full((16, 6), 0.25))
    assert drawn.asked == [(16, 6)]


def test_nearness_of_two_kernels_looks_at_the_first_features_alone() -> None:
    layer = Nearness(1, kernels=2, dimensions=2)
    layer.projection.data = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    layer.eval()  # without the scale and shift that the first mini-batch of the training sets
    # Images at 0 and 1: kernel 0 has a distance of 1 + 2, kernel 1 of 0 + 1. The second feature is another trick's.
    output = layer(torch.tensor([[0.0, 50.0], [1.0, -50.0]]))
    assert output[:, :2].tolist() == [[0, 50], [1, -50]]
    nearness = torch.tensor([-3.0, -1.0]).exp()
    assert torch.allclose(output[:, 2:], nearness.expand(2, 2))


def test_the_first_mini_batch_sets_scale_and_shift_of_the_kernels() -> None:
    layer = Nearness(1, kernels=2, dimensions=2)
    layer.projection.data = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    # The nearest other image is 3 away in kernel 0 and 1 in kernel 1: both become 2, the new features have the mean 0.
    assert torch.allclose(layer(torch.tensor([[0.0], [1.0]]))[:, 1:], torch.zeros(2, 2), atol=1e-6)
    assert layer.projection.data[0].tolist() == pytest.approx([2 / 3, 4 / 3, 0, -2])
    assert layer.shift.tolist() == pytest.approx([-math.exp(-2)] * 2)
    # A later mini-batch finds them as they are: two images that are 4 away.
    assert torch.allclose(layer(torch.tensor([[0.0], [2.0]]))[:, 1:], torch.tensor(math.exp(-4) - math.exp(-2)))


def test_minibatch_discrimination_looks_at_the_discriminator_s_features_and_adds_its_kernels() -> None:
    added: list[Any] = []
    discriminator = SimpleNamespace(features=7, extend=lambda *layer: added.append(layer))
    made("minibatch_discrimination", kernels=4, dimensions=3).change_networks(
        SimpleNamespace(discriminator=discriminator)
    )
    [(layer, numbers)] = added
    assert (layer.features, layer.kernels, tuple(layer.projection.shape), numbers) == (7, 4, (7, 12), 4)


def test_spectral_norm_keeps_weights_but_zeros_which_have_no_direction() -> None:
    torch.manual_seed(0)
    zeros, others = nn.Linear(3, 2), nn.Linear(2, 2)
    zeros.weight.data.zero_()
    others.weight.data = torch.tensor([[0.0, 3.0], [1.0, 0.0]])
    made("spectral_norm").wrap_networks(SimpleNamespace(discriminator=nn.Sequential(zeros, nn.ReLU(), others)))
    assert others.parametrizations.weight.original.tolist() == [[0, 3], [1, 0]]  # type: ignore[union-attr, index]
    assert zeros.parametrizations.weight.original.all()  # type: ignore[union-attr, operator]
    # Singular values 3 and 1: divided by 3. And by its own largest one, whatever the others were made of.
    assert torch.allclose(others.weight, torch.tensor([[0.0, 1.0], [1 / 3, 0.0]]), atol=1e-4)
    assert float(torch.linalg.matrix_norm(zeros.weight.detach(), 2)) == pytest.approx(1, abs=0.01)


def test_packs_keep_rows_and_columns() -> None:
    # Five images of two channels and 1 × 3 pixels, counted through: two packs of four channels, the fifth is left out.
    seen = torch.arange(30.0).view(5, 2, 1, 3)
    packs = made("packing", size=2).discriminator_input(seen, None)
    assert packs.tolist() == torch.arange(24.0).view(2, 4, 1, 3).tolist()
    assert made("packing", size=3).discriminator_channels(2) == 6


def test_virtual_batch_norm_keeps_scale_shift_and_epsilon() -> None:
    norm = nn.BatchNorm1d(2, eps=3.0)
    norm.weight.data, norm.bias.data = torch.tensor([4.0, 2.0]), torch.tensor([10.0, 20.0])
    layer, values = Normalised(norm), torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    layer.learning = True
    reference = layer(values[:2])
    layer.learning = False
    output = torch.cat([reference, layer(values[2:])])
    # Reference, first column: mean 2, variance 1, + ε: ÷ 2; −1/2 · 4 + 10 and 1/2 · 4 + 10. Second: mean 0, 0: 20.
    assert output[:2].tolist() == [[8, 20], [12, 20]]
    # The image: mean (2 · 2 + 2) / 3 = 2: 10. Mean (0 + 3) / 3 = 1, square 9 / 3, variance 2, + 3: 2 / √5 · 2 + 20.
    assert output[2].tolist() == pytest.approx([10, 20 + 4 / 5**0.5])


def test_a_step_of_adam_by_hand() -> None:
    # The second step, β = (½, ¾), from means (½, ¼), with the gradient −2: mean ¼ − 1, square 3/16 + 1 = 19/16.
    # Unbiased: −¾ ÷ (1 − ¼) = −1 and 19/16 ÷ (1 − 9/16) = 19/7. ε = ½: √(19/7 + ¼) + ½. The rate is .1.
    one = torch.ones((), dtype=torch.float64)
    change, moments = adam(-2 * one, Moments(one / 2, one / 4, 1), 0.1, (0.5, 0.75), 0.5)
    assert float(change) == pytest.approx(0.1 / ((19 / 7 + 0.25) ** 0.5 + 0.5))
    assert (float(moments.mean), float(moments.square), moments.steps) == (-0.75, 19 / 16, 2)


class Toy(SimpleNamespace):
    """A game with C(x) = w x + b² of which b is not used; L_D = E C(G) − E C(x)."""

    def scored(self, images: Tensor, labels: Tensor, drawn: Any = None, *, weights: Mapping[str, Tensor]) -> Tensor:
        assert labels.tolist() == [4, 5]
        return (weights["weight"] * images).mean()

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real


def toy(stepped: bool) -> Toy:
    """With w = 1; or after a step with the gradient 1: w = .9, and Adam's means are ½ and ¼."""
    critic = nn.Linear(1, 1).double()
    critic.weight.data.fill_(1.0)
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.1, betas=(0.5, 0.75), eps=1e-12)
    if stepped:
        critic.weight.grad = torch.ones_like(critic.weight)
        optimiser.step()
    return Toy(discriminator=critic, discriminator_optimiser=optimiser)


@pytest.mark.parametrize("stepped", [False, True])
def test_unrolled_steps_by_hand(stepped: bool) -> None:
    game = toy(stepped)
    # Real 3 and 5, generated 1 and 3: the slope of L_D is 2 − 4 = −2 at each of two steps.
    batch, fake = Labelled(image(3, 5), torch.tensor([4, 5])), image(1, 3).requires_grad_()
    ahead = Unrolling(UnrollingSettings(steps=2)).opponent(game, batch, SimpleNamespace(images=fake))  # type: ignore[arg-type]
    # Without a step before, Adam divides −2 by √4 twice: 1 + .1 + .1. With one, as worked out above, the first change
    # is .1 ÷ √(19/7). Then the mean is −3/8 − 1 = −11/8, ÷ 7/8 is −11/7; the square 57/64 + 1 = 121/64, ÷ 37/64 is
    # 121/37: the second change is .1 · 11/7 ÷ √(121/37) = .1 · √37 / 7.
    expected = 0.9 + 0.1 / (19 / 7) ** 0.5 + 0.1 * 37**0.5 / 7 if stepped else 1.2
    assert float(ahead["weight"]) == pytest.approx(expected, rel=1e-9)
    assert torch.equal(ahead["bias"], game.discriminator.bias)
    assert float(game.discriminator.weight) == pytest.approx(0.9 if stepped else 1.0)


def test_the_gradient_of_an_unrolled_step_by_hand() -> None:
    # One step with the slope g = (a + b) / 2 − 4 = −2: m = (¼ + g / 2) ÷ ¾ = −1, m′ = 2/3;
    # v = (3/16 + g² / 4) ÷ 7/16 = 19/7, v′ = 8 g / 7 = −16/7.
    # The change −.1 m / √v has the slope −.1 (m′ − ½ m v′ / v) / √v = −.1 (2/3 − 8/19) / √v, and g that of ½.
    batch, fake = Labelled(image(3, 5), torch.tensor([4, 5])), image(1, 3).requires_grad_()
    ahead = Unrolling(UnrollingSettings(steps=1)).opponent(toy(True), batch, SimpleNamespace(images=fake))  # type: ignore[arg-type]
    (slopes,) = torch.autograd.grad(ahead["weight"].sum(), fake)
    assert slopes.flatten().tolist() == pytest.approx([-0.05 * 14 / 57 / (19 / 7) ** 0.5] * 2)


def test_mode_seeking_asks_for_latents_of_the_batch_and_of_z_alone() -> None:
    asked = []

    def noise(n: int, columns: int, rng: Any) -> Tensor:
        asked.append((n, columns, rng))
        return torch.zeros(n, columns)

    game = SimpleNamespace(latent=2, rng=RNG, noise=noise, drawn_from=lambda z: SimpleNamespace(images=z[:, 1:]))
    # z of three images (3, 1), (3, 1), (0, 1) and a condition 5, which is kept: the images (·, 5) of the others.
    own = torch.tensor([[3.0, 1.0, 5.0], [3.0, 1.0, 5.0], [0.0, 1.0, 5.0]])
    drawn = SimpleNamespace(images=torch.tensor([[1.0, 4.0], [1.0, 6.0], [1.0, 5.0]]), latents=own)
    term = made("mode_seeking", weight=3.0).generator_loss(game, None, SimpleNamespace(drawn=drawn))
    # |Δ image| = (1, 1), (1, 1), (1, 0): 5/6. |Δ z| = (3, 1), (3, 1), (0, 1): 9/6.
    assert float(term) == pytest.approx(3 / (5 / 9 + 1e-5), rel=1e-6)
    assert asked == [(3, 2, RNG)]
