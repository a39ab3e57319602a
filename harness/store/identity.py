"""The identity of a run: the settings and the code of its trial, and other code that it was accepted for.

The tags of a run have the hash of its settings, the digest of its code, and the parts of its code (the digest of each
definition). Results of other code stay readable: they are marked as such, and never mixed with others in one verdict.
If the author of a change knows that it changes no number, a tag records that, and the run counts as one of the current
code.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.base import digests
from harness.suite.plan import Trial, key_of

SETTINGS, CODE, PARTS, STREAMS, ACCEPTED = "settings", "code", "code_parts", "streams", "code_accepted"
"""The tags. Only a trial whose random streams have seeds of their own has the tag of streams."""
TAGS = (SETTINGS, CODE, PARTS, STREAMS, ACCEPTED)
UNKNOWN = "unknown"
"""The code of a run that an older version recorded without its code."""
LONGEST_TAG = 8000
"""The largest number of characters of a tag's value; MLflow cuts off the rest."""


def tags_of(trial: Trial) -> dict[str, str]:
    """The tags of a run with the identity of its trial."""
    modules: dict[str, dict[str, str]] = {}
    for part, digest in trial.code.parts.items():
        module, _, name = part.partition(":")
        modules.setdefault(module, {})[name] = digest
    tags = {"key": trial.key, SETTINGS: trial.settings, CODE: trial.code.digest}
    parts = json.dumps(modules, sort_keys=True, separators=(",", ":"))
    tags |= {STREAMS: json.dumps(trial.streams)} if trial.streams else {}
    return tags | ({PARTS: parts} if len(parts) <= LONGEST_TAG else {})


def keys(tags: Mapping[str, str]) -> set[str]:
    """The keys of the trials that a run is a result of: its own key, and those with code that it was accepted for."""
    return {tags.get("key", ""), *accepted_keys(tags)}


def accepted_keys(tags: Mapping[str, str]) -> set[str]:
    """The keys of the trials with other code that a run was accepted for."""
    return {key_of(tags.get(SETTINGS, ""), each["code"]) for each in acceptances(tags)}


def parts(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The parts of a run's code, ``module:name`` -> digest; if they are unknown, its commit instead."""
    return _parts(tags.get(PARTS, "{}")) or {UNKNOWN: tags.get("git_commit", UNKNOWN)}


@functools.lru_cache(1000)
def _parts(text: str) -> Mapping[str, str]:
    """The parts in a tag. Trials of the same code share them."""
    modules: dict[str, dict[str, str]] = json.loads(text)
    return {f"{module}:{name}": digest for module, own in modules.items() for name, digest in own.items()}


def acceptances(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """The codes that a run was accepted for: ``code``, ``change``, ``modules``, ``commit``, ``when``.

    Empty if somebody changed the tag so that it cannot be read: the run is then a result only of its own code.
    """
    try:
        found = json.loads(tags.get(ACCEPTED, "[]"))
        whole = all({"code", "change", "modules", "commit", "when"} <= each.keys() for each in found)
    except (ValueError, TypeError, AttributeError):
        return []
    return found if whole else []


@dataclass(frozen=True)
class Change:
    """The difference between two codes.

    Attributes:
        parts: ``module:name`` -> its digest before and now; "" if it was not used before, or is not used now.
    """

    parts: Mapping[str, tuple[str, str]]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that changed."""
        return tuple(sorted({part.partition(":")[0] for part in self.parts}))

    @property
    def digest(self) -> str:
        """The name of the change: 8 hexadecimal digits, equal for all trials with the same change."""
        return digests.of_value(sorted(self.parts.items()))[:8]


def change(before: Mapping[str, str], now: Mapping[str, str]) -> Change:
    """The difference between two codes. A definition that only moved to another place is not a difference."""
    gone = {part: digest for part, digest in before.items() if now.get(part) != digest}
    new = {part: digest for part, digest in now.items() if before.get(part) != digest}
    moved = set(gone.values()) & set(new.values())
    left = sorted(part for part in {*gone, *new} if not {gone.get(part), new.get(part)} & moved)
    return Change({part: (gone.get(part, ""), new.get(part, "")) for part in left})


def between(tags: Mapping[str, str], trial: Trial) -> Change:
    """The difference between a run's code and the code of a trial with the same settings."""
    if UNKNOWN in (known := parts(tags)):
        return Change({UNKNOWN: (known[UNKNOWN], "")})
    found, before = change(known, trial.code.parts), tags.get(CODE, UNKNOWN)
    if not found.parts and before != trial.code.digest:  # the same definitions, imported differently
        return Change({"imports:": (before, trial.code.digest)})
    return found


def contradiction(codes: Iterable[Mapping[str, str]]) -> tuple[str, str, str] | None:
    """A module with a definition that differs between codes that share it, and both digests; None if there is none.

    So two arms of the same program agree, though they use different parts of it. Unknown code agrees only with unknown
    code of the same commit.
    """
    seen: dict[str, str] = {}
    for code in codes:
        if seen and (UNKNOWN in seen) != (UNKNOWN in code):
            one, other = (f"of commit {each[UNKNOWN]}" if UNKNOWN in each else "known" for each in (seen, code))
            return UNKNOWN, one, other
        for part, digest in code.items():
            if seen.setdefault(part, digest) != digest:
                return part.partition(":")[0], seen[part], digest
    return None


def code(tags: Mapping[str, str], trial: Trial | None) -> dict[str, Any]:
    """The fields of a ``Record`` about its code, compared with the code of the trial that it is a result of."""
    if trial is None or tags.get(CODE) == trial.code.digest:
        return {"parts": parts(tags)}
    for each in acceptances(tags):
        if each["code"] == trial.code.digest:
            return {"parts": trial.code.parts, "vouched": tuple(each["modules"])}
    return {"parts": parts(tags), "other_code": between(tags, trial).modules}


def accepted(tags: Mapping[str, str], trial: Trial, commit: str) -> str:
    """The tag of a run that is now also accepted for the code of a trial: the earlier acceptances and this one."""
    made = between(tags, trial)
    found = {"code": trial.code.digest, "change": made.digest, "modules": made.modules}
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps([*acceptances(tags), found | {"commit": commit, "when": when}])
