"""What a training trick is to the adversarial game: a small class of hooks, every one optional.

A trick is applied to the game (``harness.zoo.tricks.game.Game``) from outside: it knows the game, the game
knows no trick by name. The tricks of an arm are applied in the order of their names, so that the order in which
a suite lists them means nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

from harness.base.validation import nearest, shown
from harness.zoo import capabilities
from harness.zoo.data.base import Shape
from harness.zoo.registry import Plugin
from harness.zoo.tricks.game import Rates

if TYPE_CHECKING:
    import torch

    from harness.zoo.data.base import Labelled
    from harness.zoo.objectives import Targets
    from harness.zoo.tricks.game import Drawn, Game, Seen


CLAIMS: Mapping[str, str] = {
    "generator_loss": "it replaces the objective's generator loss by its own",
    "sampler": "it offers the network that samples are drawn from",
    "opponent": "it offers the discriminator that the generator plays against",
}
"""What only one trick of an arm may own: the hook -> what the trick does with it."""


class Trick(Plugin):
    """A training trick. Override the hooks that it needs; a helper's name begins with an underscore.

    Attributes:
        requires: what the model must offer (words of ``harness.zoo.capabilities``).
        conflicts: names of tricks, or capabilities of models, beside which the trick makes no sense. It is enough
            that one of two tricks says so: name only tricks that are there wherever yours is.
        claims: what only one trick of an arm may own (words of ``CLAIMS``).
        hides: what the model no longer offers to metrics beside the trick, for example ``probability`` where the
            discriminator does not say how probable it is that a single image is real, or has learned to tell so
            of other images than are sampled.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[frozenset[str]] = frozenset()
    hides: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def defect(cls, names: Collection[str]) -> str | None:
        own = [base for base in cls.__mro__ if issubclass(base, Trick) and base is not Trick]
        for base in own:
            for name, value in vars(base).items():
                method = isinstance(value, FunctionType | classmethod | staticmethod)
                if method and not name.startswith("_") and not hasattr(Trick, name):
                    return (
                        f"{base.__name__} defines the method {name}, which is no hook of a trick"
                        f"{nearest(name, list(HOOKS))}; give it a hook's name, or one that begins with an underscore"
                    )
        if all(getattr(cls, hook) is getattr(Trick, hook) for hook in HOOKS):
            return f"{cls.__name__} overrides no hook, so it changes nothing: override one of {', '.join(HOOKS)}"
        return _unknown_word(cls, names)

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        """Why it makes no sense on images of this shape, or None if it does."""
        return None

    def discriminator_channels(self, channels: int) -> int:
        """Change how many channels the discriminator is built for."""
        return channels

    def change_networks(self, game: Game) -> None:
        """Change ``game.generator`` and ``game.discriminator`` when they are built, before the optimisers are."""

    def wrap_networks(self, game: Game) -> None:
        """Change their layers once more, when every trick has put its own in: nothing is added after that."""

    def begin(self, game: Game) -> None:
        """Prepare for the first step: the networks are as all tricks have made them, and lie on their device."""

    def rates(self, rates: Rates) -> Rates:
        """Change the learning rates."""
        return rates

    def discriminator_input(self, images: torch.Tensor, game: Game) -> torch.Tensor:
        """Change what the discriminator sees: real or generated images (n, c, h, w) in [-1, 1]."""
        return images

    def targets(self, targets: Targets) -> Targets:
        """Change the targets that the discriminator is trained towards."""
        return targets

    def discriminator_loss(self, game: Game, real: Seen, fake: Seen) -> torch.Tensor | None:
        """A term (a scalar) to add to the discriminator's loss."""
        return None

    def after_discriminator_step(self, game: Game) -> None:
        """Act after each of the discriminator's steps."""

    def opponent(self, game: Game, batch: Labelled, drawn: Drawn) -> dict[str, torch.Tensor] | None:
        """The discriminator's parameters and buffers that the generator plays against, where it claims ``opponent``."""
        return None

    def generator_loss(self, game: Game, real: Seen, fake: Seen) -> torch.Tensor | None:
        """A term (a scalar) to add to the generator's loss; the loss itself where it claims ``generator_loss``."""
        return None

    def after_step(self, game: Game) -> None:
        """Act after the generator's step."""

    def sampler(self, game: Game) -> torch.nn.Module | None:
        """The network to sample from in the generator's place, where the trick claims ``sampler``."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What must survive an interruption: a nest of dicts, lists, tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that ``state_dict`` gave."""


HOOKS = tuple(
    name
    for name, value in vars(Trick).items()
    if isinstance(value, FunctionType) and not name.startswith("_") and name not in ("state_dict", "load_state_dict")
)
"""The names of the hooks, in the order in which a game asks them."""


def _unknown_word(trick: type[Trick], names: Collection[str]) -> str | None:
    """What is wrong with the words that a trick states, or None."""
    words = capabilities.known()
    for attribute, known, what in (
        ("requires", words, "which no model offers"),
        ("conflicts", {*words, *names}, "which is neither a trick nor offered by any model"),
        ("claims", CLAIMS, "which cannot be claimed"),
        ("hides", words, "which no model offers"),
    ):
        for word in sorted(getattr(trick, attribute) - set(known)):
            return (
                f"{trick.__name__}.{attribute} names {shown(word)}, {what}{nearest(word, list(known))} "
                f"(known: {', '.join(sorted(known))})"
            )
    return None
