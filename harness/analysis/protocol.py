"""How values were measured, as each trial recorded it: values of different protocols are never set side by side.

A protocol has the fields of every metric: samples, features and their digest, thresholds, the data's digest, the device
and the precision of training and of evaluation.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.base.errors import HarnessError
from harness.store import identity

if TYPE_CHECKING:
    from harness.store.record import Record

Protocol = Mapping[str, Mapping[str, Any]]
"""metric -> field -> value."""


EVERY = ""
"""Stands for every metric."""


class Difference(NamedTuple):
    """A field in which two protocols differ; None stands for a field that one of them lacks."""

    metric: str
    field: str
    one: Any
    other: Any


class ProtocolMismatch(HarnessError):
    """Values of different protocols were about to be compared."""


def of(record: Record) -> Protocol:
    """The protocol that a trial recorded; empty where there is none (a trial that failed)."""
    value = record.read("protocol.json")
    return value if all(isinstance(fields, dict) for fields in value.values()) else {}


def differences(one: Protocol, other: Protocol) -> list[Difference]:
    """The fields that differ, metric by metric, of the metrics that both have."""
    return [
        Difference(metric, field, one[metric].get(field), other[metric].get(field))
        for metric in one
        if metric in other
        for field in dict.fromkeys([*one[metric], *other[metric]])
        if one[metric].get(field) != other[metric].get(field)
    ]


def among(records: Iterable[Record], metric: str | None = None) -> list[Difference]:
    """The fields in which any of these trials differ, each once; of one metric, or of all.

    Code is a field of every metric: values that other code gave are not set beside those of this code.
    """
    records = list(records)
    # A suite's trials have a few protocols between them at most.
    distinct = {json.dumps(found, sort_keys=True): found for found in map(of, records) if found}
    pairs = itertools.combinations(distinct.values(), 2)
    found = {(d.metric, d.field): d for one, other in pairs for d in differences(one, other)}
    differing = [difference for difference in found.values() if metric in (None, difference.metric)]
    codes = {json.dumps(dict(record.parts), sort_keys=True): record.parts for record in records if record.parts}
    if (other := identity.contradiction(codes.values())) is not None:
        differing.append(Difference(metric or EVERY, f"code ({other[0]})", *other[1:]))
    return differing


def unknown(records: Iterable[Record]) -> list[Record]:
    """The trials that have values and whose protocol is not at hand: nobody can say what these may be held against."""
    return [record for record in records if record.done and not of(record)]


def refuse(found: list[Difference], what: str) -> None:
    """Raise ``ProtocolMismatch`` if anything differs, naming ``what`` was to be compared and every field."""
    if not found:
        return
    lines = "".join(f"\n  {line}" for line in told(found))
    raise ProtocolMismatch(f"{what} were measured by different protocols, and cannot be compared:{lines}")


def told(found: Iterable[Difference]) -> list[str]:
    """Each field with both values. Most fields are shared by all metrics: each is named once."""
    return list(dict.fromkeys(f"{d.field}: {_shown(d.one)} against {_shown(d.other)}" for d in found))


def _shown(value: Any) -> str:
    return "not recorded" if value is None else str(value)
