"""Which tricks and models fit together, and which capabilities are left for metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.zoo import registry

if TYPE_CHECKING:
    from harness.zoo.data.base import Shape
    from harness.zoo.models.base import Model
    from harness.zoo.registry import Choice
    from harness.zoo.tricks.base import Trick


FEATURES = "discriminator_features"
"""The capability that a model loses by an architecture whose discriminator gives scores only."""


def with_own(model: Choice[Model], tricks: tuple[Choice[Trick], ...]) -> tuple[Choice[Trick], ...]:
    """The listed tricks, and those of the model's preset that are not listed; sorted by name."""
    own = [registry.choose("tricks", trick) for trick in registry.find("models", model.name).tricks]
    listed = {trick.plugin.name for trick in tricks}
    together = [*tricks, *(trick for trick in own if trick.plugin.name not in listed)]
    return tuple(sorted(together, key=lambda trick: trick.plugin.name))


def offered(model: Model | type[Model], settings: Any, tricks: Iterable[Trick | type[Trick]]) -> frozenset[str]:
    """The capabilities that metrics may use, for a model with these settings trained with these tricks."""
    return model.capabilities(settings).difference(*(trick.hides for trick in tricks))


def _for_tricks(model: Choice[Model]) -> tuple[frozenset[str], str | None]:
    """The capabilities that tricks may use, and the name of the architecture if that takes the features away."""
    capabilities = model.plugin.capabilities(model.settings)
    inside = [value for _, value in model.settings if isinstance(value, registry.Choice)]
    plain = [choice.name for choice in inside if getattr(choice.plugin, "scores_only", False)]
    return (capabilities - {FEATURES}, plain[0]) if plain else (capabilities, None)


def refusals(model: Choice[Model], tricks: tuple[Choice[Trick], ...], shape: Shape) -> list[str]:
    """Why this model cannot be trained with these tricks on images of this shape: one sentence per reason."""
    capabilities, plain = _for_tricks(model)
    names = [trick.plugin.name for trick in tricks]
    reasons = [f"the trick {name!r} is listed twice" for name in sorted(set(names)) if names.count(name) > 1]
    for position, trick in enumerate(tricks):
        plugin = trick.plugin
        if reason := plugin.refusal(trick.settings, shape):
            reasons.append(f"the trick {trick.name!r} cannot be used here: {reason}")
        lacking = plugin.requires - capabilities
        if not (lacking or model.plugin.takes_tricks):
            reasons.append(f"the trick {trick.name!r} would do nothing: the model {model.name!r} takes no tricks")
        for missing in sorted(lacking):
            whose = (
                f"the architecture {plain!r} has not (scores_only)"
                if plain and missing == FEATURES
                else (f"the model {model.name!r} with these settings does not offer")
            )
            reasons.append(f"the trick {trick.name!r} requires {missing.replace('_', ' ')}, which {whose}")
        for clash in sorted(plugin.conflicts & (capabilities | set(names))):
            reasons.append(f"the trick {trick.name!r} conflicts with {clash.replace('_', ' ')!r}")
        for other in tricks[position + 1 :]:
            for both in sorted(plugin.claims & other.plugin.claims):
                reasons.append(
                    f"the tricks {trick.name!r} and {other.name!r} both replace the {both.replace('_', ' ')}"
                )
    return reasons
