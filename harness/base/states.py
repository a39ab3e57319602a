"""The states of a trial, and what follows from each. All code takes them from here."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How a trial ended, that it has not, or that its stored run was changed since.

    Journals, MLflow's tags, Optuna's attributes and CSVs hold the value.

    A trial without a run in the store has no state: it is to do.

    Attributes:
        meaning: what it means, for users.
        settled: whether the trial would end the same again, so that no later run of the harness tries it.
        own: whether it is an outcome of the trial itself, and not a failure to run it. Pruned is such an outcome, but
            not settled: the search decided it, and another suite may decide otherwise.
        next_run: whether the next `harness run` tries the trial again, as text.
    """

    meaning: str
    settled: bool
    own: bool
    next_run: str

    def __new__(
        cls, value: str, meaning: str = "", settled: bool = False, own: bool = False, next_run: str = ""
    ) -> State:
        """Create a member. The defaults are for mypy, because ``State("done")`` looks up a member."""
        state = str.__new__(cls, value)
        state._value_ = value
        state.meaning, state.settled, state.own, state.next_run = meaning, settled, own, next_run
        return state

    # value, meaning, settled, own, next_run
    DONE = "done", "it has values", True, True, "no"
    DIVERGED = (
        "diverged",
        "a scalar, a published weight or a sample was NaN or infinite",
        True,
        True,
        "no: it would diverge again",
    )
    PRUNED = "pruned", "a search gave it up", False, True, "by that search, no; by another suite, yes"
    TIMED_OUT = "timed-out", "it took longer than `run.time_limit`", False, False, "yes"
    OUT_OF_MEMORY = "out-of-memory", "the device, or the machine, had no memory left for it", False, False, "yes"
    FAILED = "failed", "an error ended it", False, False, "yes"
    INTERRUPTED = (
        "interrupted",
        "it was stopped, or its driver or worker went away",
        False,
        False,
        "yes, from its checkpoint, in the same MLflow run",
    )
    ALTERED = (
        "altered",
        "its stored run or a file of it was edited or damaged after it ended: it is not trusted, and enters no verdict",
        False,
        False,
        "yes, from its beginning, in a new MLflow run",
    )
