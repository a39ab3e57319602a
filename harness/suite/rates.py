"""Whether a suite compares models with tuned learning rates to models with others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.zoo import registry
from harness.zoo.registry import Choice, Origin, choose

if TYPE_CHECKING:
    from harness.suite.plan import Plan


def uneven(plan: Plan) -> str:
    """A warning if some arms have tuned rates and others have not; empty if not, and for a search, which tunes all."""
    if plan.suite.search is not None:
        return ""
    found: dict[str, list[str]] = {}
    for cell in plan.cells:
        if cell.excluded is None and (origin := of_arm(cell.arm.model)) is not None:
            names = found.setdefault(origin.kind, [])
            names += [cell.arm.model.name] if cell.arm.model.name not in names else []
    tuned, others = found.pop("tuned", []), [f"{kind} ({', '.join(names)})" for kind, names in found.items()]
    if not (tuned and others):
        return ""
    return (
        f"warning: the learning rates of {', '.join(tuned)} are tuned, those of the other models are not: "
        f"{'; '.join(others)}. A difference may be one of tuning; a search tunes every cell alike "
        "(`harness docs tuning`)"
    )


def of_arm(model: Choice[registry.Plugin]) -> Origin | None:
    """Where the rates of a chosen model come from; None if the suite sets one of them."""
    own, given = choose("models", model.name).settings, model.settings
    rates = [name for name in type(own).model_fields if name == "rate" or name.endswith("_rate")]
    if any(getattr(own, name) != getattr(given, name) for name in rates):
        return None
    return registry.find("models", model.name).rates_from
