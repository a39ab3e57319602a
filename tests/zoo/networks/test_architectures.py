"""Architectures: every rule of DCGAN is a switch that does what it says; residual networks start as the identity."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.networks.modules import Dropout, Residual

SHAPES = [Shape(1, 28, 28, 10), Shape(3, 32, 32, 10), Shape(1, 8, 8, 10), Shape(1, 21, 21, 2)]


def networks(choice: object, shape: Shape = SHAPES[0], latent: int = 6) -> tuple[nn.Module, nn.Module]:
    chosen = registry.choose("networks", choice)
    architecture = chosen.make(shape)
    return architecture.generator(latent), architecture.discriminator(shape.channels)


def kinds(network: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in network.modules()}


RULES = {
    "as in the paper": {},
    "pooling": {"strided": False},
    "no normalisation in G": {"generator_norm": False},
    "no normalisation in D": {"discriminator_norm": False},
    "hidden layer": {"hidden": 24},
    "leaky G": {"generator_relu": False},
    "no tanh": {"tanh": False},
    "ReLU in D": {"discriminator_leaky": False},
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_dcgan_serves_square_images_whichever_rule_is_broken(rule: str, shape: Shape) -> None:
    generator, discriminator = networks({"name": "dcgan", "width": 4, **RULES[rule]}, shape)
    images = generator(torch.randn(3, 6))
    assert images.shape == (3, *shape[:3])
    scores = discriminator(images)
    assert scores.logits.shape == (3,)
    assert scores.features.shape == (3, discriminator.features)


def test_each_rule_is_seen_in_the_layers() -> None:
    def made(rule: str) -> tuple[set[type[nn.Module]], set[type[nn.Module]]]:
        generator, discriminator = networks({"name": "dcgan", "width": 4, **RULES[rule]})
        return kinds(generator), kinds(discriminator)

    generator, discriminator = made("as in the paper")
    assert {nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.Tanh} <= generator
    assert not {nn.BatchNorm1d, nn.LeakyReLU, nn.Upsample} & generator  # one linear layer, the projection of z
    assert {nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU} <= discriminator
    assert not {nn.MaxPool2d, nn.ReLU, nn.BatchNorm1d} & discriminator
    assert nn.Upsample in made("pooling")[0]
    assert nn.MaxPool2d in made("pooling")[1]
    assert nn.BatchNorm2d not in made("no normalisation in G")[0]
    assert nn.BatchNorm2d in made("no normalisation in G")[1]
    assert nn.BatchNorm2d not in made("no normalisation in D")[1]
    assert all(nn.BatchNorm1d in player for player in made("hidden layer"))
    assert nn.LeakyReLU in made("leaky G")[0]
    assert nn.Tanh not in made("no tanh")[0]
    assert nn.ReLU in made("ReLU in D")[1]


def test_a_discriminator_of_its_own_width() -> None:
    _, whole = networks({"name": "dcgan", "width": 16})
    _, quarter = networks({"name": "dcgan", "width": 16, "discriminator_width": 4})
    assert quarter.features * 4 == whole.features


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_residual_networks_have_no_normalisation_and_start_as_the_identity(shape: Shape) -> None:
    generator, discriminator = networks({"name": "residual", "width": 4, "blocks": 2}, shape)
    images = generator(torch.randn(3, 6))
    assert images.shape == (3, *shape[:3])
    assert discriminator(images).logits.shape == (3,)
    for network in (generator, discriminator):
        assert not {nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm} & kinds(network)
        blocks = [module for module in network.modules() if isinstance(module, Residual)]
        assert len(blocks) >= 4
        for block in blocks:
            values = torch.randn(2, block.layers[0].in_channels, 5, 5)
            assert torch.equal(block(values), values)


def test_a_residual_block_is_its_equation() -> None:
    generator, _ = networks({"name": "residual", "width": 4, "blocks": 1, "slope": 0.5})
    block = next(module for module in generator.modules() if isinstance(module, Residual))
    first, second, last = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
    assert [layer.kernel_size for layer in (first, second, last)] == [(1, 1), (3, 3), (1, 1)]
    with torch.no_grad():
        for layer, weight in ((first, -1.0), (second, 2.0), (last, 3.0)):
            layer.weight.zero_()
            nn.init.dirac_(layer.weight)
            layer.weight.mul_(weight)
        values = torch.full((1, first.in_channels, 5, 5), 4.0)
        # 4 + 3 φ(2 φ(−4)) with φ(−4) = −2, φ(−4) = −2
        assert torch.equal(block(values), torch.full_like(values, 4 + 3 * -2.0))


def test_what_they_refuse() -> None:
    for name in ("dcgan", "residual"):
        choice = registry.choose("networks", name)
        assert "square" in choice.plugin.refusal(choice.settings, Shape(1, 12, 20, 3))
        assert "8×8" in choice.plugin.refusal(choice.settings, Shape(2, 1, 1, 8))


@pytest.mark.parametrize("norm", [False, True])
def test_fully_connected_networks_may_have_batch_normalisation_in_the_generator(norm: bool) -> None:
    choice = registry.choose("networks", {"name": "fully_connected", "width": 64, "generator_norm": norm})
    made = choice.make(Shape(1, 8, 8, 10))
    assert choice.plugin.batch_norm(choice.settings) == ({"generator"} if norm else set())
    counts = [
        sum(isinstance(layer, nn.BatchNorm1d) for layer in network.modules())
        for network in (made.generator(5), made.discriminator(1))
    ]
    assert counts == [3 if norm else 0, 0]
    # A shift before a normalisation does nothing.
    assert sum(layer.bias is None for layer in made.generator(5) if isinstance(layer, nn.Linear)) == 3 * norm


def test_mlp_s_generator_is_not_bounded_and_its_discriminator_has_a_gain() -> None:
    generator, discriminator = networks({"name": "mlp", "width": 8, "gain": 3.0}, Shape(2, 1, 1, 8))
    with torch.no_grad():
        generator[-2].bias.fill_(7.0)
    assert float(generator(torch.zeros(1, 6)).mean()) > 2
    seen: list[torch.Tensor] = []
    discriminator.body[2].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    discriminator(torch.tensor([[0.5, -1.0]]).view(1, 2, 1, 1))
    assert seen[0].tolist() == [[1.5, -3.0]]
    assert nn.BatchNorm1d in kinds(networks({"name": "mlp", "generator_norm": True}, Shape(2, 1, 1, 8))[0])


@pytest.mark.parametrize("p", [0.0, 0.3, 0.75])
def test_dropout_drops_this_share_and_keeps_the_mean(p: float) -> None:
    layer, values = Dropout(p), torch.full((1000, 1001), 2.0, requires_grad=True)
    output = layer(values)
    assert float((output == 0).float().mean()) == pytest.approx(p, abs=2e-3)
    kept = output[output != 0]
    assert torch.allclose(kept, torch.tensor(2 / (1 - p)))
    output.sum().backward()
    assert torch.equal(values.grad, output.detach() / 2)  # the gradient has the same mask and factor
    assert torch.equal(layer.eval()(values), values)


def test_dropout_draws_anew_for_every_value_and_at_every_pass() -> None:
    layer, ones = Dropout(0.5), torch.ones(512, 512)
    first, second = (layer(ones) == 0 for _ in range(2))
    for one, other in (
        (first, second),
        (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]),
        (first[:, 4:], first[:, :-4]),
    ):
        assert float((one == other).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_the_dirac_gan_is_a_point_and_a_linear_function() -> None:
    plane = Shape(2, 1, 1, 8)
    generator, discriminator = networks("dirac", plane)
    assert sum(p.numel() for p in (*generator.parameters(), *discriminator.parameters())) == 4
    points = generator(torch.randn(3, 6))
    assert torch.equal(points, points[:1].expand(3, 2, 1, 1))  # whatever the latent is
    for vector in (generator.place, discriminator.body[1].weight):
        assert float(vector.detach().norm()) == pytest.approx(0.5)
    with torch.no_grad():
        discriminator.body[1].weight.copy_(torch.tensor([[2.0, -1.0]]))
    # ψ = (2, −1): 2 · 3 − 1 · 4, and no constant.
    seen = discriminator(torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(2, 2, 1, 1))
    assert seen.logits.tolist() == [2, 0]
    assert not torch.equal(networks("dirac", plane)[0].place, generator.place)  # in a random direction
