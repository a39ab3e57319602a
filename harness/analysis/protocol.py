"""Protocols: how the values of a trial were measured. Values of different protocols are never compared.

A protocol has fields for each metric: samples, features and their digest, thresholds, the digest of the data, device
and precision of training and of evaluation.
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
"""The metric of a difference that concerns all metrics."""


class Difference(NamedTuple):
    """A field that differs between two protocols; None if a protocol lacks it."""

    metric: str
    field: str
    one: Any
    other: Any


class ProtocolMismatch(HarnessError):
    """Values that should be compared have different protocols."""


def of(record: Record) -> Protocol:
    """The protocol that a trial recorded; empty if there is none (a failed trial)."""
    value = record.protocol
    return value if all(isinstance(fields, dict) for fields in value.values()) else {}


def differences(one: Protocol, other: Protocol) -> list[Difference]:
    """The fields that differ, for each metric that both protocols have."""
    return [
        Difference(metric, field, one[metric].get(field), other[metric].get(field))
        for metric in one
        if metric in other
        for field in dict.fromkeys([*one[metric], *other[metric]])
        if one[metric].get(field) != other[metric].get(field)
    ]


def among(records: Iterable[Record], metric: str | None = None) -> list[Difference]:
    """The fields in which any of these trials differ, each once; of one metric, or of all.

    The code is a field of every metric: values of different code are not compared.
    """
    records = list(records)
    # The trials of a suite have only a few distinct protocols, so that all pairs are few.
    distinct = {_text(record): of(record) for record in records if of(record)}
    pairs = itertools.combinations(distinct.values(), 2)
    found = {(d.metric, d.field): d for one, other in pairs for d in differences(one, other)}
    differing = [difference for difference in found.values() if metric in (None, difference.metric)]
    codes = {id(record.parts): record.parts for record in records if record.parts}  # trials of one arm share them
    if (other := identity.contradiction(codes.values())) is not None:
        differing.append(Difference(metric or EVERY, f"code ({other[0]})", *other[1:]))
    return differing


def _text(record: Record) -> str:
    """The protocol of a trial as text, made once."""
    kept: dict[str, str] = vars(record)
    if "protocol_text" not in kept:
        kept["protocol_text"] = json.dumps(of(record), sort_keys=True)
    return kept["protocol_text"]


def unknown(records: Iterable[Record]) -> list[Record]:
    """The trials that have values but no readable protocol: whether they are comparable is unknown."""
    return [record for record in records if record.done and not of(record)]


def refuse(found: list[Difference], what: str) -> None:
    """Raise ``ProtocolMismatch`` if anything differs; the message names ``what`` and each field."""
    if not found:
        return
    lines = [f"  {line}" for line in told(found)]
    raise ProtocolMismatch(f"{what} were measured by different protocols and cannot be compared:", *lines)


def told(found: Iterable[Difference]) -> list[str]:
    """Each field with both values, as text. A field that several metrics share is listed once."""
    return list(dict.fromkeys(f"{d.field}: {_shown(d.one)} against {_shown(d.other)}" for d in found))


def _shown(value: Any) -> str:
    return "not recorded" if value is None else str(value)
