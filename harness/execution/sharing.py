"""What drivers on one store do for each other: put aside what another one trains, and take over what it has done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError
from harness.base.messages import note
from harness.base.states import State
from harness.store import runs as runs_module
from harness.trial.task import Outcome

if TYPE_CHECKING:
    from harness.execution.study import Queue, Work
    from harness.store.claims import Claims
    from harness.store.runs import Store

LOOK = 2.0
"""Seconds between two looks at what other drivers have."""
TO_DO = (State.INTERRUPTED, State.ALTERED, State.PRUNED)
"""States in which another driver may leave a trial that is still to do here."""


@dataclass
class Sharing:
    """The trials that other drivers have.

    Args:
        claims: of this driver.
        store: the store of results.
        settle: takes the outcome over that another driver has given a trial.
        refresh: reads again what is done.
        seen: the ids of the runs that this driver knew when it began.
    """

    claims: Claims
    store: Store
    settle: Callable[[Work, Queue, Outcome], None]
    refresh: Callable[[], None]
    seen: set[str]
    aside: list[tuple[Work, Queue]] = field(default_factory=list)
    """What others train, as far as this driver knows."""
    _looked: dict[str, float] = field(default_factory=dict)
    """When this driver last looked for the holder of something; of the trials put aside, under the empty name."""
    _told: set[str] = field(default_factory=set)

    def may_run(self, work: Work, queue: Queue) -> bool:
        """Claim a trial. If another driver has it, it is put aside; if one has done it, its outcome is taken over."""
        key = work.trial.key
        claim = self.claims.take(key)
        if not claim.ours:
            self.aside.append((work, queue))
            text = f"other drivers train some of these trials; {work.trial.label} is trained by {claim.holder}"
            self._tell("trials", f"{text}: this run takes their results over")
            return False
        if not claim.changed:
            return True
        try:
            outcome = self.outcome(key)
        except HarnessError:  # MLflow does not answer: look again later
            self.aside.append((work, queue))
            self.claims.finish([key])
            return False
        if outcome is None:
            self.claims.confirm(key)
            return True
        self.settle(work, queue, outcome)
        self.claims.finish([key])
        return False

    def free(self) -> list[tuple[Work, Queue]]:
        """What was put aside, and no other driver has any more."""
        if not self.aside or not self._due(""):
            return []
        free = self.claims.free({work.trial.key for work, _ in self.aside})
        found = [item for item in self.aside if item[0].trial.key in free]
        self.aside = [item for item in self.aside if item[0].trial.key not in free]
        return found

    def may_ask(self, study: str) -> bool:
        """Claim a search by the name of its study. One that another driver had is read again."""
        if not self._due(study):
            return False
        claim = self.claims.take(study)
        if not claim.ours:
            text = (
                f"the search {study} is asked by {claim.holder}: this run waits, and goes on with it when that one ends"
            )
            self._tell(study, text)
            return False
        if claim.changed:
            try:
                self.refresh()
            except HarnessError:  # MLflow does not answer: look again later
                self.claims.finish([study])
                return False
        return True

    def outcome(self, key: str) -> Outcome | None:
        """The outcome that another driver has given a trial; None if it is still to do.

        Runs of drivers that died, which nobody trains any more, are marked as interrupted: the claim is ours.

        Raises:
            HarnessError: the store does not answer.
        """
        with self.store.answering():
            found = self.store.of_key(key)
            for run in found:
                if run.data.tags.get("results_folder") != self.store.place_of_results:
                    self.store.end_ghost(run)
            # What failed before this driver began is tried again.
            found = [run for run in found if run.info.run_id not in self.seen or runs_module.state(run).settled]
            if not found or runs_module.state(run := runs_module.speaking(found)) in TO_DO:
                return None
            record = self.store.record(run, "", with_curves=False)
        return Outcome(record.state, record.reason, record.values, record.seconds_train, record.seconds_evaluate)

    def _due(self, name: str) -> bool:
        """Whether it is time to look again."""
        if time.monotonic() - self._looked.get(name, -math.inf) < LOOK:
            return False
        self._looked[name] = time.monotonic()
        return True

    def _tell(self, what: str, text: str) -> None:
        """Tell the user, once."""
        if what not in self._told:
            self._told.add(what)
            note(f"{text} (a driver that died loses what it has after {self.claims.shown_lease})")
