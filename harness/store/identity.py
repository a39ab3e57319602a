"""Of which trial a run is: its settings and its code apart, and other code whose author vouches for its results.

A run's tags hold the hash of its settings, the digest of its code, and that code's parts (the digest of each definition
in it). A result of other code stays readable: it is shown as such, and never mixed with others in one verdict. Where
the author of a change knows that it changes no number, the run says so in a tag of its own, and counts as one of the
code at hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.base import digests
from harness.suite.plan import Trial, key_of

SETTINGS, CODE, PARTS, ACCEPTED = "settings", "code", "code_parts", "code_accepted"
"""The tags."""
UNKNOWN = "unknown"
"""The code of a run that was recorded before runs said which."""
LONGEST_TAG = 8000
"""Characters that MLflow keeps of a tag's value; it cuts off the rest."""


def tags_of(trial: Trial) -> dict[str, str]:
    """What a run says of its trial's identity."""
    modules: dict[str, dict[str, str]] = {}
    for part, digest in trial.code.parts.items():
        module, _, name = part.partition(":")
        modules.setdefault(module, {})[name] = digest
    tags = {"key": trial.key, SETTINGS: trial.settings, CODE: trial.code.digest}
    parts = json.dumps(modules, sort_keys=True, separators=(",", ":"))
    return tags | ({PARTS: parts} if len(parts) <= LONGEST_TAG else {})


def keys(tags: Mapping[str, str]) -> set[str]:
    """The keys of the trials that a run may speak for: its own, and those with code that it was accepted for."""
    return {tags.get("key", ""), *accepted_keys(tags)}


def accepted_keys(tags: Mapping[str, str]) -> set[str]:
    """The keys of the trials, with other code than its own, that a run was accepted for."""
    return {key_of(tags.get(SETTINGS, ""), each["code"]) for each in acceptances(tags)}


def parts(tags: Mapping[str, str]) -> dict[str, str]:
    """The parts of a run's code, ``module:name`` -> digest; where they are not known, its commit stands for all."""
    modules: dict[str, dict[str, str]] = json.loads(tags.get(PARTS, "{}"))
    found = {f"{module}:{name}": digest for module, own in modules.items() for name, digest in own.items()}
    return found or {UNKNOWN: tags.get("git_commit", UNKNOWN)}


def acceptances(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """The codes that a run was accepted for: ``code``, ``change``, ``modules``, ``commit``, ``when``.

    None where somebody changed the tag so that it says nothing: the run then speaks for its own code alone.
    """
    try:
        found = json.loads(tags.get(ACCEPTED, "[]"))
        whole = all({"code", "change", "modules", "commit", "when"} <= each.keys() for each in found)
    except (ValueError, TypeError, AttributeError):
        return []
    return found if whole else []


@dataclass(frozen=True)
class Change:
    """Where one program differs from another.

    Attributes:
        parts: ``module:name`` -> its digest before and now; "" where it was not, or is no longer, used.
    """

    parts: Mapping[str, tuple[str, str]]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that changed."""
        return tuple(sorted({part.partition(":")[0] for part in self.parts}))

    @property
    def digest(self) -> str:
        """What the change is called: 8 hexadecimal digits, the same for all trials that it changes alike."""
        return digests.of_value(sorted(self.parts.items()))[:8]


def change(before: Mapping[str, str], now: Mapping[str, str]) -> Change:
    """What differs between two codes. A definition that only changed its place is no difference."""
    gone = {part: digest for part, digest in before.items() if now.get(part) != digest}
    new = {part: digest for part, digest in now.items() if before.get(part) != digest}
    moved = set(gone.values()) & set(new.values())
    left = sorted(part for part in {*gone, *new} if not {gone.get(part), new.get(part)} & moved)
    return Change({part: (gone.get(part, ""), new.get(part, "")) for part in left})


def between(tags: Mapping[str, str], trial: Trial) -> Change:
    """What differs between a run's code and that of a trial of the same settings."""
    if UNKNOWN in (known := parts(tags)):
        return Change({UNKNOWN: (known[UNKNOWN], "")})
    found, before = change(known, trial.code.parts), tags.get(CODE, UNKNOWN)
    if not found.parts and before != trial.code.digest:  # the same definitions, imported in another way
        return Change({"imports:": (before, trial.code.digest)})
    return found


def contradiction(codes: Iterable[Mapping[str, str]]) -> tuple[str, str, str] | None:
    """A definition that is not the same in codes that share it, and both its digests; None where there is none.

    So two arms of one program agree, though each uses other parts of it. Unknown code agrees with that of the same
    commit alone.
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
    """What a row of the results says of its run's code, beside the trial that it stands for."""
    if trial is None or tags.get(CODE) == trial.code.digest:
        return {"parts": parts(tags)}
    for each in acceptances(tags):
        if each["code"] == trial.code.digest:
            return {"parts": trial.code.parts, "vouched": tuple(each["modules"])}
    return {"parts": parts(tags), "other_code": between(tags, trial).modules}


def accepted(tags: Mapping[str, str], trial: Trial, commit: str) -> str:
    """The tag of a run that is accepted for a trial's code as well: what was there, and who vouches for what now."""
    made = between(tags, trial)
    found = {"code": trial.code.digest, "change": made.digest, "modules": made.modules}
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps([*acceptances(tags), found | {"commit": commit, "when": when}])
