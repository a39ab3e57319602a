"""Seals of runs: digests that show what somebody changed after a run ended.

A stored run can be edited: in MLflow's user interface, through its client, in the database. So a run that ends gets
tags with a digest of every tag, metric and parameter that is read later. A field that differs is named, and the run
is not trusted. What others add to a run is neither sealed nor read.

Runs of older versions of the harness have one digest for all fields, or none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.base import digests
from harness.store import identity

SEAL, PARAMETERS_SEAL, CURVES_SEAL, FILES = "seal", "seal_parameters", "seal_curves", "files"
"""Tags of a run that has ended: digests of its tags and metrics, of its parameters, of its curves, of its files."""
TRIAL = "trial"
"""The tag ``role`` of a trial's run."""
CURVE_PREFIX = "train/"
"""MLflow metrics with this prefix are curves; the others are final values."""
USAGE_PREFIX = "system/"
"""MLflow metrics with this prefix say what a trial used of its machine. They are neither sealed nor read."""

_READ = ("key", "arm", "model", "tricks", "data", "seed", "state", "reason", "environment", CURVES_SEAL, FILES)
"""The tags of a run that are read, besides those that the tag ``environment`` lists and those of its identity."""
_SHORT = 8
"""Hexadecimal digits of a field's digest."""
_LONGEST = 7500
"""The largest number of characters of a seal; MLflow allows 8000 in a tag."""

Point = tuple[str, int, float]


def ours(tags: Mapping[str, str]) -> bool:
    """Whether the harness made a run, even if some of its tags were changed since.

    A store may have runs of other programs, with any tags. They are passed over.
    """
    if "key" in (_unpacked(tags.get(SEAL, "")) or {}).get("tag", {}):
        return True
    begun = re.fullmatch(r"[0-9a-f]{32}", tags.get("token", "")) or re.fullmatch(r"[0-9a-f]{16}", tags.get("key", ""))
    return begun is not None and (tags.get("role") == TRIAL or SEAL in tags)


def of(
    tags: Mapping[str, str], metrics: Mapping[str, float], points: Iterable[Point], parameters: Mapping[str, str]
) -> dict[str, str]:
    """The tags that seal a run with these contents at its end; ``points`` are those of its curves."""
    ordered = sorted(points)
    last = {CURVE_PREFIX + name: value for name, _, value in ordered}  # what MLflow shows as a curve's value
    own = {CURVES_SEAL: curves(ordered), **_of_parameters(parameters)}
    sealed = dict(tags) | own
    fields = {name: sealed.get(name, "") for name in ("role", *_names(sealed), *own)}
    return own | {SEAL: _packed({"tag": fields, "metric": {**metrics, **last}}) or _whole(sealed, metrics)}


def _of_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """The seals of parameters: as many tags as it takes."""
    parts: list[dict[str, str]] = [{}]
    for name, value in sorted(parameters.items()):
        if _packed({"parameter": parts[-1] | {name: value}}) is None:
            parts.append({})
        parts[-1][name] = value
    names = (f"{PARAMETERS_SEAL}_{number}" if number else PARAMETERS_SEAL for number in range(len(parts)))
    return {name: _packed({"parameter": part}) or "" for name, part in zip(names, parts, strict=True)}


def again(tags: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, str]:
    """A new seal for a run of an older version whose tags the harness itself changes; empty if it had none."""
    return {SEAL: _whole(tags, metrics)} if SEAL in tags else {}


def curves(points: Sequence[Point]) -> str:
    """The digest of curves: (name, step, value), in order."""
    return digests.seal(points)


def changes(tags: Mapping[str, str], metrics: Mapping[str, float], parameters: Mapping[str, str]) -> list[str]:
    """What was changed after the run ended, for example ``tag 'seed' was edited or damaged``; empty if nothing was."""
    text = tags.get(SEAL)
    if text is None:
        return ["tag 'seal' was removed"] if CURVES_SEAL in tags or FILES in tags else _unreadable(tags)
    if re.fullmatch(r"[0-9a-f]{32}", text):
        whole = tags.get("role") == TRIAL and text == _whole(tags, metrics)
        return [] if whole else ["something was edited or damaged"]
    if (sealed := _unpacked(text)) is None:
        return ["tag 'seal' was edited or damaged"]
    found = _differences(sealed, {"tag": tags, "metric": metrics})
    if not found:
        for name in sealed.get("tag", {}):
            if name.startswith(PARAMETERS_SEAL):
                found += _differences(_unpacked(tags.get(name, "")) or {}, {"parameter": parameters})
    return found


def sealed_metrics(tags: Mapping[str, str]) -> frozenset[str] | None:
    """The metrics and curves that a run had when it ended; None if its seal does not list them."""
    sealed = _unpacked(tags.get(SEAL, ""))
    return None if sealed is None else frozenset(sealed.get("metric", {}))


def key(tags: Mapping[str, str], wanted: Iterable[str]) -> str | None:
    """Which of the wanted keys is the key of a run, even if its tag was changed; None if none is."""
    said, sealed = tags.get("key"), (_unpacked(tags.get(SEAL, "")) or {}).get("tag", {}).get("key")
    if sealed is not None and (said is None or _digest(said) != sealed):
        return next((one for one in wanted if _digest(one) == sealed), None)
    return said if said in set(wanted) else None


def kept(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a run that the harness reads, with their seals: without those of MLflow, of others, and of places."""
    own = ("role", "suite", *_names(tags), SEAL, identity.ACCEPTED)
    return {name: text for name, text in tags.items() if name in own or name.startswith(PARAMETERS_SEAL)}


def _differences(sealed: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for kind, fields in sealed.items():
        for name, digest in fields.items():
            value = now.get(kind, {}).get(name)
            if _digest("" if value is None else value) != digest:  # MLflow may drop a tag with an empty text
                found.append(f"{kind} {name!r} was {'removed' if value is None else 'edited or damaged'}")
    return found


def _unreadable(tags: Mapping[str, str]) -> list[str]:
    """The required tags that are missing or malformed in a run without a seal."""
    found = [
        f"tag {name!r} was removed" for name in ("key", "arm", "model", "tricks", "data", "seed") if name not in tags
    ]
    if not re.fullmatch(r"-?\d{1,18}", tags.get("seed", "0")):
        found.append("tag 'seed' was edited or damaged")
    return found


def _names(tags: Mapping[str, str]) -> list[str]:
    newer = [name for name in (identity.SETTINGS, identity.CODE, identity.PARTS, identity.STREAMS) if name in tags]
    return [*_READ, *tags.get("environment", "").split(), *newer]


def _whole(tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """One digest of all tags and values: in runs of older versions, and if one digest per field would be too long."""
    values = {name: float(value) for name, value in metrics.items() if not name.startswith(CURVE_PREFIX)}
    return digests.seal([{name: tags.get(name, "") for name in _names(tags)}, values])


def _digest(value: Any) -> str:
    return digests.of_value(value if isinstance(value, str) else float(value))[:_SHORT]


def _packed(kinds: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The digest of each field, as the text of a tag; None if it would be too long."""
    short = {kind: {name: _digest(value) for name, value in fields.items()} for kind, fields in kinds.items()}
    text = json.dumps(short, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= _LONGEST else None


def _unpacked(text: str) -> dict[str, dict[str, str]] | None:
    """The inverse of ``_packed``; None if the text has another format."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(found, dict) and all(isinstance(fields, dict) for fields in found.values())
    return found if whole else None
