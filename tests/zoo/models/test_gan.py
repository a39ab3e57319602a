"""The adversarial game: who learns what, when, and how often."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from harness.testing import equal, train
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import from_uint8
from harness.zoo.models.gan import GAN
from harness.zoo.tricks.game import Drawn, Scored

SMALL = {"name": "gan", "architecture": {"width": 32}}


def batch(n: int) -> Labelled:
    pixels = torch.randint(0, 256, (n, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Labelled(from_uint8(pixels), torch.zeros(n, dtype=torch.long))


def drawn(game: GAN, n: int) -> Drawn:
    return game.draw(torch.zeros(n, dtype=torch.long))


def test_k_discriminator_steps_use_k_fresh_batches() -> None:
    game = build(SMALL | {"discriminator_steps": 3})
    assert game.batches_per_step == 3
    seen: list[torch.Tensor] = []
    original = game._discriminator_step
    game._discriminator_step = lambda real, drawn: (seen.append(real.images), original(real, drawn))[1]  # type: ignore[method-assign]
    images = batch(12)
    game.step(images)
    assert [len(part) for part in seen] == [4, 4, 4]
    assert torch.equal(torch.cat(seen), images.images)
    steps = {int(s["step"]) for s in game.discriminator_optimiser.state_dict()["state"].values()}
    assert steps == {3}
    assert {int(s["step"]) for s in game.generator_optimiser.state_dict()["state"].values()} == {1}


def test_n_generator_steps_follow_the_discriminator_s() -> None:
    game = build(SMALL | {"generator_steps": 4})
    for _ in range(3):
        game.step(batch(8))
    steps = [
        {int(s["step"]) for s in optimiser.state_dict()["state"].values()}
        for optimiser in (game.discriminator_optimiser, game.generator_optimiser)
    ]
    assert steps == [{3}, {12}]


def test_the_optimisers_go_at_the_rates_that_are_asked_for() -> None:
    game = build(SMALL | {"generator_rate": 3e-4, "discriminator_rate": 5e-4})
    before = {name: value.clone() for name, value in game.generator.state_dict().items()}
    game.step(batch(8))
    assert [o.param_groups[0]["lr"] for o in (game.generator_optimiser, game.discriminator_optimiser)] == [3e-4, 5e-4]
    moved = max(float((value - before[name]).abs().max()) for name, value in game.generator.state_dict().items())
    assert moved == pytest.approx(3e-4, rel=1e-3)  # Adam's first step is the rate, whatever the gradient


def test_rates_go_in_a_line_to_their_share_at_the_end() -> None:
    game = build(SMALL | {"generator_rate": 4e-4, "discriminator_rate": 2e-4, "final_rate": 0.1})
    # Of 100 steps; in the 51st half of the training is behind, and the factor is half of 1 + .1.
    for taken, factor in ((0, 1.0), (50, 0.55), (100, 0.1), (200, 0.1)):
        game.taken.fill_(taken)
        game.step(batch(8))
        rates = [float(o.param_groups[0]["lr"]) for o in (game.generator_optimiser, game.discriminator_optimiser)]
        assert rates == pytest.approx([4e-4 * factor, 2e-4 * factor])


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_latents_have_the_distribution_that_is_asked_for(distribution: str) -> None:
    game = build(SMALL | {"latent_distribution": distribution})
    latents = game.latents(2000, torch.Generator().manual_seed(0))
    assert latents.shape == (2000, 100)
    assert (latents.abs().max() <= 1) == (distribution == "uniform")
    assert float(latents.var()) == pytest.approx(1 if distribution == "normal" else 1 / 3, rel=0.02)
    uniform = game.uniform(latents)
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() < 1
    assert float(uniform.var()) == pytest.approx(1 / 12, rel=0.02)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_a_walk_stays_where_latents_are(distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    game, given = build(SMALL | {"latent_distribution": distribution}), []
    monkeypatch.setattr(game, "images_from", lambda z: given.append(z) or torch.zeros(len(z), 1, 28, 28))
    game.pictures(batch(8).images, torch.Generator().manual_seed(0))
    for path in given:
        assert path.shape == (64, 100)
        assert (path.abs().max() <= 1) == (distribution == "uniform")
    walk = given[1].reshape(8, 8, 100)
    assert torch.allclose(walk[:, 4], -walk[:, 0], atol=1e-6)  # half the circle further on


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "lsgan", "hinge", "dragan", "r3gan"])
@pytest.mark.parametrize(
    "architecture", ["fully_connected", "residual", {"name": "dcgan", "discriminator_norm": False}]
)
def test_objectives_and_penalties_go_with_every_architecture(name: str, architecture: object) -> None:
    game = build({"name": name, "architecture": architecture, "discriminator_steps": 1})
    assert all(abs(value) < 1e4 for scalars in train(game, 2) for value in scalars.values())


@pytest.mark.slow
def test_r3gan_s_generator_does_not_lose_itself_in_the_background() -> None:
    # Digits are black for the most part: with a tanh, every pixel of every image was black within 100 steps, for good.
    data = registry.choose("data", "digits")
    images = from_uint8(data.plugin(data.settings).load("train").images)
    game = build({"name": "r3gan", "architecture": {"width": 8, "widest": 16}, "latent": 8, "generator_rate": 1e-3})
    rng = torch.Generator().manual_seed(0)
    for _ in range(120):
        chosen = images[torch.randint(len(images), (16,), generator=rng)]
        game.step(Labelled(chosen, torch.zeros(16).long()))
    with torch.no_grad():
        drawn = game.generator(game.latents(32, rng)).clamp(-1, 1)
    assert float(drawn.std(0).mean()) > 0.1  # of digits .22


def test_a_preset_brings_its_tricks_unless_they_are_listed_otherwise() -> None:
    assert [trick.name for trick in build("r3gan").tricks] == ["ema", "r1", "r2"]
    listed = build("r3gan", tricks=[{"name": "r1", "weight": 3.0}])
    assert [trick.name for trick in listed.tricks] == ["ema", "r1", "r2"]
    assert listed.tricks[1].settings.weight == 3.0
    assert [trick.name for trick in build("dcgan_hidden", tricks=["ema"]).tricks] == ["ema"]


def test_each_player_s_step_leaves_the_other_alone() -> None:
    game = build(SMALL)
    generator = {k: v.clone() for k, v in game.generator.state_dict().items()}
    game._discriminator_step(batch(8), drawn(game, 8))
    assert equal(dict(game.generator.state_dict()), generator)
    discriminator = {k: v.clone() for k, v in game.discriminator.state_dict().items()}
    game._generator_step(batch(8), drawn(game, 8))
    assert equal(dict(game.discriminator.state_dict()), discriminator)
    assert not equal(dict(game.generator.state_dict()), generator)
    assert all(p.requires_grad for p in game.discriminator.parameters())


@pytest.mark.parametrize(("fakes", "expected"), [("anew", [False, True, True]), ("shared", [True, True])])
def test_images_are_drawn_for_each_player_or_once_for_both(fakes: str, expected: list[bool]) -> None:
    """The discriminator's, and those of two generator steps; and whether the generator's gradient reaches them."""
    game = build(SMALL | {"fakes": fakes, "generator_steps": 2})
    made: list[torch.Tensor] = []
    original = game.draw
    game.draw = lambda labels: (made.append(original(labels).images), Drawn(made[-1], original(labels).latents))[1]  # type: ignore[method-assign]
    game.step(batch(8))
    assert [images.requires_grad for images in made] == expected


def test_shared_images_give_the_generator_the_gradient_of_its_loss() -> None:
    game = build(SMALL | {"fakes": "shared", "architecture": {"width": 32, "dropout": 0}})
    weights = [w.detach().clone() for w in game.generator.parameters()]
    latents: list[torch.Tensor] = []
    original = game.latents
    game.latents = lambda *words: (latents.append(original(*words)), latents[-1])[1]  # type: ignore[method-assign]
    game.step(batch(8))
    gradients = [w.grad.clone() for w in game.generator.parameters()]
    # The same by hand: the generator as it was, the discriminator as it is after its step.
    with torch.no_grad():
        for weight, old in zip(game.generator.parameters(), weights, strict=True):
            weight.copy_(old)
    loss = torch.nn.functional.softplus(-game.discriminator(game.generator(latents[0])).logits).mean()
    expected = torch.autograd.grad(loss, list(game.generator.parameters()))
    assert len(latents) == 1
    for gradient, other in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, other, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "tricks", "expected"),
    [
        ("gan", [], True),
        ("wgan_gp", [], True),
        ("hinge", [], True),
        ("cgan", [], True),
        ("gan", ["packing"], True),
        ("dcgan", [], False),  # batch normalisation
        ("gan", ["minibatch_stddev"], False),
        ("wgan_gp", ["minibatch_discrimination"], False),
    ],
)
def test_one_pass_scores_what_two_do_where_images_are_scored_alone(
    model: str, tricks: list[str], expected: bool
) -> None:
    own = {"architecture": {"dropout": 0}} if model in ("gan", "cgan") else {}
    game = build({"name": model, **own}, tricks=tricks)
    assert game.independent == expected
    if not expected:
        return
    game.discriminator.eval()  # no power iteration between the two
    real, fake = batch(6), drawn(game, 6)
    apart = [game.scored(real.images, real.labels), game.scored(fake.images, real.labels, fake)]
    joined = [game.scored(real.images, real.labels), game.scored(fake.images, real.labels, fake)]
    passes: list[int] = []
    original = game.discriminate
    game.discriminate = lambda images, *words: (passes.append(len(images)), original(images, *words))[1]  # type: ignore[method-assign]
    Scored.together(*joined)
    for one, other in zip(apart, joined, strict=True):
        for part in ("logits", "features"):
            assert torch.allclose(getattr(one.scores, part), getattr(other.scores, part), atol=1e-5)
    assert passes == [sum(len(one.images) for one in joined), *(len(one.images) for one in joined)]


def test_the_objective_changes_the_generator_s_step_alone() -> None:
    # Built right before it is trained: building sets torch's random state, from which dropout draws.
    first, second = (train(build(SMALL | {"objective": name}), 1)[0] for name in ("non_saturating", "minimax"))
    assert first["discriminator_loss"] == second["discriminator_loss"]
    assert first["generator_loss"] > 0 > second["generator_loss"]


def test_arms_with_the_same_generator_start_from_the_same_weights() -> None:
    plain, other = build("dcgan"), build({"name": "dcgan", "architecture": {"discriminator_norm": False}})
    assert equal(dict(plain.generator.state_dict()), dict(other.generator.state_dict()))


def test_the_discriminator_learns_to_tell_real_from_fake() -> None:
    # Against a generator that stands still, D must win: the game's simplest half.
    game = build(SMALL | {"discriminator_rate": 1e-3})
    real = batch(64)
    scalars = [game._discriminator_step(real, drawn(game, 64)) for _ in range(60)][-1]
    assert scalars["d_real"] > 0.9
    assert scalars["d_fake"] < 0.1


def test_dcgan_refuses_what_it_cannot_serve() -> None:
    choice = registry.choose("models", "dcgan")
    assert "square" in choice.plugin.refusal(choice.settings, SHAPES[3])
    assert choice.plugin.refusal(choice.settings, SHAPES[0]) is None


def test_a_preset_is_a_table_of_settings() -> None:
    written_out = registry.choose(
        "models",
        {"name": "gan", "architecture": "dcgan"} | {k: v for k, v in _preset("dcgan").items() if k != "architecture"},
    )
    assert registry.choose("models", "dcgan").canonical() == written_out.canonical()


def _preset(name: str) -> dict[str, object]:
    return dict(registry.find("models", name).settings)


@pytest.mark.parametrize("wrong", [{"objective": "non_saturatin"}, {"latent": 0}, {"beta1": 1.0}, {"depth": 3}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValidationError, registry.ChoiceError)):
        registry.choose("models", {"name": "gan"} | wrong)


def test_what_is_measured_of_the_discriminator_is_measured_in_float32() -> None:
    images = torch.rand(8, 1, 28, 28)
    half, whole = (build("gan", dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    assert torch.equal(half.probability(images), whole.probability(images))
    assert half.compute.dtype == torch.bfloat16
