"""Who trains what, where several drivers share a store: no trial is trained twice.

A driver claims a trial by its key before it submits it, and lets go of it when the trial has ended and MLflow has its
outcome. A search is claimed by the name of its study, and asked by one driver at a time. Where a database is shared,
claims are leases in it (``leases``); a driver that is alone with its queues has all that it claims.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from harness.base.errors import HarnessError
from harness.base.validation import shown

LEASE, VARIABLE = 60.0, "HARNESS_LEASE"
"""Seconds after which a driver that died loses its claims, and the variable that says another number."""
SHORTEST, LONGEST = 2.0, 86_400.0
"""The limits of that number, in seconds."""


@dataclass(frozen=True)
class Claim:
    """The answer to a driver that claims something.

    Attributes:
        ours: whether this driver has it now.
        holder: who else has it; empty if nobody.
        changed: whether another driver had it since this one began, or died with it: what became of it must be looked
            up.
    """

    ours: bool
    holder: str = ""
    changed: bool = False


def lease() -> float:
    """Seconds after which a driver that died loses its claims.

    Raises:
        HarnessError: ``HARNESS_LEASE`` is not such a number.
    """
    told = os.environ.get(VARIABLE)
    if not told:
        return LEASE
    with contextlib.suppress(ValueError):
        if SHORTEST <= float(told) <= LONGEST:
            return float(told)
    raise HarnessError(f"{VARIABLE} is {shown(told)}: expected seconds, from {SHORTEST:g} to {LONGEST:g}")


class Claims:
    """The claims of a driver that shares its queues with nobody: it has all that it claims."""

    shared = False
    """Whether other drivers have claims beside this one."""
    shown_lease = ""
    """The time after which a driver that died loses its claims, for messages."""

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of all claims."""

    def take(self, name: str) -> Claim:
        """Claim something: the key of a trial, or the name of a study. What one has already is renewed."""
        return Claim(ours=True)

    def confirm(self, name: str) -> None:
        """Nobody has ended what was claimed with ``changed``: from now on this driver has it."""

    def has(self, name: str) -> bool:
        """Whether this driver has claimed it, as far as it knows. What was claimed with ``changed``: if confirmed."""
        return True

    def holds(self, name: str) -> bool:
        """Whether this driver has it, says the database; then its lease begins anew."""
        return True

    def finish(self, names: Collection[str]) -> None:
        """Let go of what has ended: a driver that claims it from now on looks up what became of it."""

    def free(self, names: Collection[str]) -> set[str]:
        """Which of these no other driver has."""
        return set(names)

    def lost(self) -> set[str]:
        """What other drivers have taken since the last call, because the lease was over."""
        return set()

    def others(self) -> bool:
        """Whether other drivers have claims."""
        return False

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Only one driver at a time is in a ``with`` block of this name."""
        return contextlib.nullcontext()
