"""How values were measured, as each trial recorded it: values of different protocols are never set side by side.

A protocol has the fields of every metric: samples, features and their digest, thresholds, the data's digest, the device
and the precision of training and of evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results import Record

Protocol = Mapping[str, Mapping[str, Any]]
"""metric -> field -> value."""


class Difference(NamedTuple):
    """A field in which two protocols differ; None stands for a field that one of them lacks."""

    metric: str
    field: str
    one: Any
    other: Any


class ProtocolMismatch(HarnessError):
    """Values of different protocols were about to be compared."""


def of(record: Record) -> Protocol:
    """The protocol that a trial recorded; empty where there is none (a trial that failed) or it is damaged."""
    if record.artifacts is None:
        return {}
    try:
        value = json.loads((record.artifacts / "protocol.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and all(isinstance(fields, dict) for fields in value.values()) else {}


def differences(one: Protocol, other: Protocol) -> list[Difference]:
    """The fields that differ, metric by metric, of the metrics that both have."""
    return [
        Difference(metric, field, one[metric].get(field), other[metric].get(field))
        for metric in one
        if metric in other
        for field in dict.fromkeys([*one[metric], *other[metric]])
        if one[metric].get(field) != other[metric].get(field)
    ]


def refuse(found: list[Difference], what: str) -> None:
    """Raise ``ProtocolMismatch`` if anything differs, naming ``what`` was to be compared and every field."""
    if not found:
        return
    # Most fields are shared by all metrics: each is named once.
    lines = dict.fromkeys(f"  {d.field}: {_shown(d.one)} against {_shown(d.other)}" for d in found)
    raise ProtocolMismatch(f"{what} were measured by different protocols, and cannot be compared:\n" + "\n".join(lines))


def _shown(value: Any) -> str:
    return "not recorded" if value is None else str(value)
