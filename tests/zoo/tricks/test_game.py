"""Any two-player model can take tricks: one that shares no code with the GAN is a ``Game``, and trains with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import testing
from harness.testing import SHAPES, TrickContract, build, check_continues, train
from harness.zoo import registry
from harness.zoo.compatibility import refusals
from harness.zoo.data.base import Labelled
from harness.zoo.models.base import Model
from harness.zoo.networks.base import evaluating
from harness.zoo.networks.scores import Scores
from harness.zoo.objectives import Targets
from harness.zoo.registry import Entry, Settings
from harness.zoo.tricks.game import Drawn, Game, Rates, Scored


class Duel(Model):
    """Least squares between two small networks, written from the documentation of ``Game`` and ``Trick`` alone."""

    name = "duel"
    summary = "two players that are no GAN"
    paper = "made up for this test"
    Settings = Settings
    takes_tricks = True
    latent = 8

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.architecture = registry.choose("networks", {"name": "mlp", "width": 16}).make(self.shape)
        torch.manual_seed(self.seed)
        channels = self.shape.channels
        for trick in self.tricks:
            channels = trick.discriminator_channels(channels)
        self.generator = self.architecture.generator(self.latent)
        self.discriminator = self.architecture.discriminator(channels)
        for change in ("change_networks", "wrap_networks", "begin"):
            for trick in self.tricks:
                getattr(trick, change)(self)
        rates = Rates(1e-3, 1e-3)
        for trick in self.tricks:
            rates = trick.rates(rates)
        self.generator_optimiser = torch.optim.Adam(self.generator.parameters(), rates.generator)
        self.discriminator_optimiser = torch.optim.Adam(self.discriminator.parameters(), rates.discriminator)
        self.taken = torch.zeros(())

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        return frozenset({"generator", "discriminator", "discriminator_features", "latent", "targets", "adam"})

    @property
    def done(self) -> Tensor:
        return self.taken / self.steps

    def noise(self, n: int, columns: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, columns, generator=rng)

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        return self.noise(n, self.latent, rng)

    def drawn_from(self, latents: Tensor) -> Drawn:
        return Drawn(self.generator(latents), latents)

    def discriminate(self, images: Tensor, labels: Tensor, weights: Mapping[str, Tensor] | None = None) -> Scores:
        if weights is None:
            return self.discriminator(images)
        return torch.func.functional_call(self.discriminator, dict(weights), (images,))

    def scored(
        self, images: Tensor, labels: Tensor, drawn: Drawn | None = None, *, weights: Mapping[str, Tensor] | None = None
    ) -> Scored:
        return Scored(self, images, labels, drawn, weights=weights)

    def discriminator_input(self, images: Tensor) -> Tensor:
        for trick in self.tricks:
            images = trick.discriminator_input(images, self)
        return images

    def discriminator_loss(self, real: Scored, fake: Scored) -> Tensor:
        targets = Targets()
        for trick in self.tricks:
            targets = trick.targets(targets)
        loss = (real.scores.logits - targets.real).square().mean() + (fake.scores.logits - targets.fake).square().mean()
        terms = [trick.discriminator_loss(self, real, fake) for trick in self.tricks]
        return sum((term for term in terms if term is not None), start=loss)

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        with torch.no_grad():
            drawn = self.drawn_from(self.latents(len(batch.images), self.rng))
        real, fake = self.scored(batch.images, batch.labels), self.scored(drawn.images, batch.labels, drawn)
        parameters = self._backward(self.discriminator_optimiser, self.discriminator_loss(real, fake))
        for trick in self.tricks:
            trick.discriminator_gradients(self, parameters)
        self.discriminator_optimiser.step()
        for trick in self.tricks:
            trick.after_discriminator_step(self)

        drawn, weights = self.drawn_from(self.latents(len(batch.images), self.rng)), None
        for trick in self.tricks:
            weights = trick.opponent(self, batch, drawn) or weights
        real = self.scored(batch.images, batch.labels, weights=weights)
        fake = self.scored(drawn.images, batch.labels, drawn, weights=weights)
        terms = [(trick, trick.generator_loss(self, real, fake)) for trick in self.tricks]
        losses = [term for trick, term in terms if term is not None and "generator_loss" in trick.claims]
        added = [term for trick, term in terms if term is not None and "generator_loss" not in trick.claims]
        own = losses[0] if losses else (fake.scores.logits - 1).square().mean()
        parameters = self._backward(self.generator_optimiser, sum(added, start=own))
        for trick in self.tricks:
            trick.generator_gradients(self, parameters)
        self.generator_optimiser.step()
        for trick in self.tricks:
            trick.after_step(self)
        self.taken += 1
        return {"generator_loss": own.detach()}

    @staticmethod
    def _backward(optimiser: torch.optim.Optimizer, loss: Tensor) -> list[torch.nn.Parameter]:
        optimiser.zero_grad()
        loss.backward()
        return optimiser.param_groups[0]["params"]

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        offered = [network for trick in self.tricks if (network := trick.sampler(self)) is not None]
        network = offered[0] if offered else self.generator
        with torch.no_grad(), evaluating(network):
            return network(self.latents(n, rng)).clamp(-1, 1)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.generator.state_dict())

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "generator_optimiser", "discriminator_optimiser")
        return {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return state | {"taken": self.taken, "tricks": {trick.name: trick.state_dict() for trick in self.tricks}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for trick in self.tricks:
            trick.load_state_dict(state["tricks"][trick.name])
        self.taken.copy_(state["taken"])


def game_of(model: Duel) -> Game:
    return model  # for a type checker: it has all that the protocol asks


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._scan("models"), "duel", Entry("models", "duel", Duel.summary, Duel.paper, Duel))


class TestDuel(testing.ModelContract):
    names = ["duel"]


def possible() -> list[str]:
    """The tricks that this game can take: all but those of batch normalisation, which it has none of."""
    return [name for name in registry.names("tricks") if name != "virtual_batch_norm"]


@pytest.mark.parametrize("name", possible())
def test_every_trick_changes_it(name: str) -> None:
    assert not refusals(registry.choose("models", "duel"), (registry.choose("tricks", name),), SHAPES[0])
    OnDuel().test_changes_something(name)
    OnDuel().test_trains_to_finite_numbers(name)
    check_continues(lambda: build("duel", tricks=[name]))


class OnDuel(TrickContract):
    __test__ = False
    candidates = ["duel"]


def test_three_tricks_beside_each_other() -> None:
    tricks = ["r1", "minibatch_stddev", "ema"]
    check_continues(lambda: build("duel", tricks=tricks))
    model: Any = build("duel", tricks=tricks)
    train(model, 3)
    assert model.discriminator.head.in_features == model.discriminator.features + 1
    assert not torch.equal(*(net(torch.ones(1, 8)) for net in (model.generator, model.tricks[0].average)))
