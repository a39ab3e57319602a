"""The base class of training tricks: a small class with hooks, all of them optional.

A trick uses the game (``harness.zoo.tricks.game.Game``); the game calls hooks and knows no trick by name. The tricks
of an arm are applied in the order of their names, so the order in a suite has no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    from harness.zoo.tricks.game import Drawn, Game, Scored


CLAIMS: Mapping[str, str] = {
    "generator_loss": "it replaces the objective's generator loss by its own",
    "sampler": "it provides the network that generates samples",
    "opponent": "it provides the discriminator that the generator plays against",
}
"""Hooks that only one trick of an arm may use -> what the trick does with it."""


class Trick(Plugin):
    """A training trick. Override the hooks that it needs; names of other methods begin with an underscore.

    Attributes:
        requires: what the model must offer (names of ``harness.zoo.capabilities``).
        conflicts: names of tricks, or capabilities of models, that the trick does not work with. It is enough if one of
            two tricks says so. Name only tricks that exist wherever yours does.
        capturable: whether a step with its hooks can be one CUDA graph: see ``harness.zoo.models.base.Model``. Counts
            and schedules are then tensors on the device, as ``game.done`` is. Without it the arm trains step by step,
            which is slower on a GPU. A class says it for itself: it is not inherited.
        claims: hooks that only one trick of an arm may use (names of ``CLAIMS``).
        hides: capabilities that the model no longer offers to metrics with this trick. For example ``probability``, if
            the discriminator's input is no longer a single image as it is sampled.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[frozenset[str]] = frozenset()
    hides: ClassVar[frozenset[str]] = frozenset()

    capturable: ClassVar[bool] = False

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

    def guard(self) -> None:
        from harness.zoo.tricks import checks

        checks.watch(self)

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        """Why it cannot be used for images of this shape, or None if it can."""
        return None

    def discriminator_channels(self, channels: int) -> int:
        """Change the number of input channels of the discriminator."""
        return channels

    def change_networks(self, game: Game) -> None:
        """Change ``game.generator`` and ``game.discriminator`` after they are built, before the optimizers are."""

    def wrap_networks(self, game: Game) -> None:
        """Change the layers after ``change_networks`` of all tricks; no layer is added after that."""

    def begin(self, game: Game) -> None:
        """Prepare for the first step: all tricks have changed the networks, and these are on their device.

        The game's optimizers do not exist yet: ``rates`` comes after this, and then they are made.
        """

    def rates(self, rates: Rates) -> Rates:
        """Change the learning rates."""
        return rates

    def discriminator_input(self, images: torch.Tensor, game: Game) -> torch.Tensor:
        """Change the discriminator's input: real or generated images (n, c, h, w) in [-1, 1]."""
        return images

    def targets(self, targets: Targets) -> Targets:
        """Change the discriminator's targets: one number for all real and one for all generated images of a batch.

        Noise on the target of each real image is a term of the loss instead. With cross-entropy, a target t + ε adds
        −ε · C(x) (``objectives.cross_entropy``): return ``-(noise * real.scores.logits).mean()`` from
        ``discriminator_loss``, with ``noise`` drawn on the logits' device.
        """
        return targets

    def discriminator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor | None:
        """A term (a scalar) to add to the discriminator's loss."""
        return None

    def discriminator_gradients(self, game: Game, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Change the gradients of the discriminator's loss, in place, before the step of its optimizer.

        Args:
            parameters: all parameters that this step changes. Each has its gradient in ``grad``, in float32 and not
                scaled; ``grad`` is None if the loss does not depend on the parameter. The steps that the trick
                ``unrolling`` looks ahead do not come here.
        """

    def after_discriminator_step(self, game: Game) -> None:
        """Called after each step of the discriminator."""

    def opponent(self, game: Game, batch: Labelled, drawn: Drawn) -> dict[str, torch.Tensor] | None:
        """If it claims ``opponent``: parameters and buffers of the discriminator that the generator plays against."""
        return None

    def generator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor | None:
        """A term (a scalar) to add to the generator's loss; the whole loss if it claims ``generator_loss``."""
        return None

    def generator_gradients(self, game: Game, parameters: Sequence[torch.nn.Parameter]) -> None:
        """The same as ``discriminator_gradients``, for the generator's step."""

    def after_step(self, game: Game) -> None:
        """Called after the generator's step."""

    def sampler(self, game: Game) -> torch.nn.Module | None:
        """If it claims ``sampler``: the network to sample from instead of the generator."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint: nested dicts, lists, tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""


NO_HOOKS = ("guard", "state_dict", "load_state_dict")
HOOKS = tuple(
    name
    for name, value in vars(Trick).items()
    if isinstance(value, FunctionType) and not name.startswith("_") and name not in NO_HOOKS
)
"""The names of the hooks, in the order in which a game calls them."""


def _unknown_word(trick: type[Trick], names: Collection[str]) -> str | None:
    """What is wrong with the names in a trick's attributes, or None."""
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
