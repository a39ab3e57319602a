"""Tricks that change what the discriminator is or sees: their equations on toy tensors, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from harness.testing import train
from harness.zoo.building import SHAPES, build
from harness.zoo.networks.modules import Discriminator
from harness.zoo.networks.scores import Scores
from harness.zoo.tricks import diff_augment
from harness.zoo.tricks.layers import Nearness, StandardDeviation
from harness.zoo.tricks.packing import packed

NO_NORM = {"name": "dcgan", "architecture": {"discriminator_norm": False}}


def test_packs_are_stacked_along_the_channels_and_what_is_left_over_is_left_out() -> None:
    images = torch.arange(5.0).view(5, 1, 1, 1)
    assert packed(images, 2).flatten(1).tolist() == [[0, 1], [2, 3]]
    colour = torch.arange(6.0).view(2, 3, 1, 1)
    assert packed(colour, 2).flatten(1).tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_packing_changes_the_discriminator_s_input_alone(size: int) -> None:
    game = build("dcgan", tricks=[{"name": "packing", "size": size}])
    shapes = [tuple(layer.weight.shape) for layer in game.discriminator.modules() if hasattr(layer, "weight")]
    assert shapes[0][1] == size
    plain = build("dcgan")
    assert all(
        torch.equal(a, b) for a, b in zip(game.generator.parameters(), plain.generator.parameters(), strict=True)
    )


def test_minibatch_discrimination_sums_over_the_others() -> None:
    layer = Nearness(1, kernels=1, dimensions=2).eval()
    layer.projection.data = torch.tensor([[1.0, 2.0]])
    # M = (x, 2x): L1 distances 3|xᵢ − xⱼ|; images at 0, 1 and 3
    output = layer(torch.tensor([[0.0], [1.0], [3.0]]))
    expected = [math.exp(-3) + math.exp(-9), math.exp(-3) + math.exp(-6), math.exp(-9) + math.exp(-6)]
    assert output[:, 0].tolist() == [0, 1, 3]
    assert output[:, 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_minibatch_discrimination_of_equal_images_counts_the_others() -> None:
    layer = Nearness(4, kernels=3, dimensions=5).eval()
    output = layer(torch.ones(6, 4))
    assert torch.allclose(output[:, 4:], torch.full((6, 3), 5.0))


def test_the_first_mini_batch_sets_scale_and_shift_of_minibatch_discrimination() -> None:
    layer = Nearness(1, kernels=1, dimensions=2)
    layer.projection.data = torch.tensor([[1.0, 2.0]])
    images = torch.tensor([[0.0], [1.0], [3.0]])
    # The nearest others are 3, 3 and 6 away, 4 in the mean; halved, they are 2 in the mean. Distances 1.5, 3 and 4.5.
    output = layer(images)[:, 1].tolist()
    sums = [math.exp(-1.5) + math.exp(-4.5), math.exp(-1.5) + math.exp(-3), math.exp(-4.5) + math.exp(-3)]
    assert layer.projection.tolist() == [[0.5, 1.0]]
    assert output == pytest.approx([one - sum(sums) / 3 for one in sums], abs=1e-6)
    # The second one does not, nor does a layer from a checkpoint.
    other = Nearness(1, kernels=1, dimensions=2)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(10 * images), other(10 * images))
    assert torch.equal(layer.projection, other.projection)


def test_minibatch_discrimination_does_not_begin_saturated() -> None:
    game = build("gan", tricks=["minibatch_discrimination"])
    train(game, 1)
    images = torch.rand(64, *SHAPES[0][:3]) * 2 - 1
    layer = next(module for module in game.discriminator.modules() if isinstance(module, Nearness))
    near = layer._near(game.discriminator.body(images))
    assert float(near.detach().mean()) < 20  # of 63; before scales were set by the data, 58


def test_minibatch_standard_deviation() -> None:
    # deviations 1 and 3 over the batch: their mean joins every image
    output = StandardDeviation()(torch.tensor([[0.0, 1.0], [2.0, 7.0]]))
    assert output[:, 2].tolist() == pytest.approx([2.0, 2.0])
    assert output[:, :2].tolist() == [[0, 1], [2, 7]]


def test_layers_that_tricks_put_in_leave_the_features_and_their_weights_alone() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(torch.nn.Flatten(), 4)
    before = discriminator.head.weight.clone()
    discriminator.extend(StandardDeviation(), 1)
    discriminator.extend(Nearness(4, 2, 3), 2)
    images = torch.randn(5, 1, 2, 2)
    scores = discriminator(images)
    assert torch.equal(scores.features, images.flatten(1))
    assert discriminator.head.weight.shape == (1, 7)
    assert torch.equal(discriminator.head.weight[:, :4], before)


def test_spectral_norm_makes_every_layer_s_largest_singular_value_one() -> None:
    game = build(NO_NORM, tricks=["spectral_norm"])
    train(game, 20)
    game.discriminator.eval()
    for layer in game.discriminator.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert float(largest) == pytest.approx(1, abs=0.05)


def test_spectral_norm_reaches_the_layers_of_other_tricks_too() -> None:
    game = build(NO_NORM, tricks=["spectral_norm", "minibatch_discrimination"])
    assert torch.nn.utils.parametrize.is_parametrized(game.discriminator.head)


def test_weights_are_clipped_after_the_discriminator_s_step() -> None:
    game = build("wgan")
    train(game, 1)
    largest = max(float(p.abs().max()) for p in game.discriminator.parameters())
    assert largest == pytest.approx(0.01)
    assert max(float(p.abs().max()) for p in game.generator.parameters()) > 0.01


def test_instance_noise_fades_out() -> None:
    game = build("gan", tricks=[{"name": "instance_noise", "sigma": 0.2, "until": 0.5}])
    images = torch.zeros(64, *SHAPES[0][:3])
    for taken, sigma in ((0, 0.2), (25, 0.1), (50, 0.0), (80, 0.0)):  # of 100 steps
        game.taken.fill_(taken)
        assert float(game.scored(images, torch.zeros(64).long()).images.std()) == pytest.approx(sigma, rel=0.02)


def test_shifted_images_bring_in_background_and_keep_what_stays() -> None:
    image = torch.full((200, 1, 16, 16), 0.5)
    image[:, 0, 8, 8] = 1.0
    moved = diff_augment.translated(image, 1 / 8, torch.Generator().manual_seed(0))
    places = {tuple(torch.nonzero(one[0] == 1.0)[0].tolist()) for one in moved}
    assert places == {(row, column) for row in range(6, 11) for column in range(6, 11)}
    assert set(moved.unique().tolist()) == {-1.0, 0.5, 1.0}
    first = moved[0, 0]
    row, column = torch.nonzero(first == 1.0)[0].tolist()
    assert int((first == -1).sum()) == 256 - (16 - abs(row - 8)) * (16 - abs(column - 8))


def test_cutout_covers_half_the_side_with_background() -> None:
    images = torch.ones(300, 1, 8, 8)
    covered = (diff_augment.covered(images, 0.5, torch.Generator().manual_seed(0)) == -1).sum((1, 2, 3))
    assert int(covered.max()) == 16  # a square of 4, where it lies wholly inside
    assert int(covered.min()) == 4  # a corner of it
    assert set(diff_augment.covered(images, 0.5, torch.Generator().manual_seed(0)).unique().tolist()) == {-1.0, 1.0}


def test_an_even_cutout_covers_both_ends_alike() -> None:
    # A side of 4 in 8, its middle on any of 9 lines between pixels: an end is covered by 3 of them, the rest by 4.
    covered = diff_augment.covered(torch.ones(20_000, 1, 8, 8), 0.5, torch.Generator().manual_seed(0)) == -1
    rows = covered.any(3).float().mean((0, 1))
    assert rows.tolist() == pytest.approx([n / 9 for n in (3, 4, 4, 4, 4, 4, 4, 3)], abs=0.015)


def test_augmentation_passes_gradients_to_what_is_still_seen() -> None:
    game = build("dcgan", tricks=["diff_augment"])
    images = torch.zeros(4, *SHAPES[0][:3], requires_grad=True)
    game.scored(images, torch.zeros(4).long()).images.sum().backward()
    assert images.grad is not None
    assert 0 < float(images.grad.mean()) < 1


def test_colours_change_only_where_there_are_three_channels() -> None:
    grey, colour = torch.zeros(2, 1, 8, 8), torch.rand(2, 3, 8, 8)
    settings = {"name": "diff_augment", "translation": 0.0, "cutout": 0.0}
    game = build("gan", tricks=[settings])
    assert torch.equal(game.scored(grey, torch.zeros(2).long()).images, grey)
    assert not torch.equal(game.scored(colour, torch.zeros(2).long()).images, colour)


def test_colours_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # An image of two pixels, (0, 0.2, 0.4) and (0.6, 0.6, 0.6); brightness, saturation and contrast draw these:
    drawn = iter([0.75, 0.25, 1.0])
    monkeypatch.setattr(torch, "rand", lambda n, *ones, **where: torch.full((n, *ones), next(drawn)))
    image = torch.tensor([[0.0, 0.6], [0.2, 0.6], [0.4, 0.6]]).reshape(1, 3, 1, 2)
    # + ¼: (0.25, 0.45, 0.65) and 0.85 thrice. Half the distance to the greys 0.45 and 0.85: (0.35, 0.45, 0.55).
    # 1½ times the distance to the image's mean 0.65: 0.65 − 0.45, − 0.3, − 0.15, and + 0.3 thrice.
    expected = torch.tensor([[0.2, 0.95], [0.35, 0.95], [0.5, 0.95]]).reshape(1, 3, 1, 2)
    assert torch.allclose(diff_augment.coloured(image, torch.Generator()), expected, atol=1e-6)


def test_every_image_has_its_own_colours() -> None:
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)).repeat(2, 1, 1, 1)
    one, other = diff_augment.coloured(images, torch.Generator().manual_seed(0))
    assert not torch.allclose(one, other, atol=1e-2)
    rng = torch.Generator().manual_seed(0)
    brightness, saturation, contrast = (torch.rand(2, 1, 1, 1, generator=rng) for _ in range(3))
    # The mean is moved by the brightness alone, distances between channels only by the other two.
    assert torch.allclose(one.mean(), images[0].mean() + brightness[0].squeeze() - 0.5, atol=1e-5)
    factor = (2 * saturation * (0.5 + contrast))[1].squeeze()
    assert torch.allclose(other[0] - other[2], (images[1, 0] - images[1, 2]) * factor, atol=1e-5)


def test_two_sided_smoothing_changes_both_targets() -> None:
    from harness.zoo.objectives import Targets

    trick = build("gan", tricks=["two_sided_label_smoothing"]).tricks[0]
    assert trick.targets(Targets()) == Targets(0.9, 0.1)


def test_two_time_scales_replace_the_rates() -> None:
    game = build("dcgan", tricks=["ttur"])
    assert game.generator_optimiser.param_groups[0]["lr"] == 1e-4
    assert game.discriminator_optimiser.param_groups[0]["lr"] == 4e-4


@pytest.mark.parametrize(("name", "of"), [("r1", "real"), ("r2", "fake")])
def test_r1_looks_at_real_images_and_r2_at_generated_ones(name: str, of: str) -> None:
    game = build("gan", tricks=[{"name": name, "weight": 4.0, "final": 2.0}])

    class Toy:
        """Whose critic has the slope 3 everywhere, over 784 pixels."""

        images = torch.zeros(2, *SHAPES[0][:3])

        def __init__(self, slope: float) -> None:
            self.slope = slope

        before = images

        def whole_critic(self, images: torch.Tensor) -> torch.Tensor:
            return self.slope * images.flatten(1).sum(1)

    seen = {"real": Toy(0.0), "fake": Toy(0.0), of: Toy(3.0)}
    game.taken.fill_(50)  # half way: γ = 3
    term = game.tricks[0].discriminator_loss(game, seen["real"], seen["fake"])
    assert float(term) == pytest.approx(3 / 2 * 9 * 784)


def test_r1_beside_diff_augment_is_taken_before_the_augmentation() -> None:
    """With C(x) = Σ x, the squared gradient at x is the number of pixels that are not covered, and not all 784."""
    game = build(NO_NORM, tricks=[{"name": "r1", "weight": 2.0}, {"name": "diff_augment", "translation": 0}])
    game.discriminate = lambda images, labels, weights=None: Scores(images.flatten(1).sum(1), images)
    real = game.scored(torch.ones(64, *SHAPES[0][:3]), torch.zeros(64).long())
    [r1] = [trick for trick in game.tricks if trick.name == "r1"]
    term = float(r1.discriminator_loss(game, real, real))
    assert 784 * 3 / 4 - 1 <= term < 784 * 0.9  # a square of half the side, or what of it lies in the image


def test_a_pack_has_one_gradient_in_r1() -> None:
    game = build(NO_NORM, tricks=[{"name": "r1", "weight": 2.0}, {"name": "packing", "size": 2}])
    game.discriminate = lambda images, labels, weights=None: Scores(3 * images.flatten(1).sum(1), images)
    real = game.scored(torch.ones(8, *SHAPES[0][:3]), torch.zeros(8).long())
    [r1] = [trick for trick in game.tricks if trick.name == "r1"]
    assert float(r1.discriminator_loss(game, real, real)) == pytest.approx(9 * 2 * 784)


def test_the_gradient_penalty_holds_the_slope_near_one() -> None:
    from harness.zoo import penalties

    slopes = {}
    for tricks in ([], ["gradient_penalty"]):
        game = build({"name": "gan", "objective": "wasserstein", "discriminator_rate": 1e-3}, tricks=tricks)
        train(game, 60)
        game.discriminator.eval()
        images = torch.rand(32, *SHAPES[0][:3]) * 2 - 1
        labels = torch.zeros(32).long()
        gradients = penalties.input_gradients(game.scored(images, labels).critic, images)
        slopes[bool(tricks)] = float(gradients.norm(dim=1).mean())
    assert 0.3 < slopes[True] < 3
    assert slopes[False] > 3 * slopes[True]
