"""Trains what a plan lacks and writes its report, for the commands that train and for notebooks.

The driver does the work; here is what comes before and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base import interrupts
from harness.base.errors import HarnessError
from harness.base.terminal import echo
from harness.base.version import commit

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.cli.engines import Where
    from harness.cli.telling import Telling
    from harness.suite import Suite
    from harness.suite.plan import Plan
    from harness.zoo.data.base import DataSet


def with_rounds(suite: Suite) -> Suite:
    """The suite with rounds of seeds; as it is if it has some.

    Raises:
        HarnessError: it has a search, or its seeds are no number of at least 2.
    """
    from harness.suite.declaration import Rounds

    if suite.rounds is not None:
        return suite
    if suite.search is not None or suite.seeds != tuple(range(len(suite.seeds))) or len(suite.seeds) < 2:
        raise HarnessError(
            f"--until-settled cannot be used with {suite.path}: it needs a suite without a search, whose seeds are a "
            "number of at least 2"
        )
    start = len(suite.seeds)
    return suite.model_copy(update={"declared_seeds": Rounds(start=start, most=max(start, Rounds().most))})


def run(
    plan: Plan, results: Path, where: Where, telling: Telling, accepted: Sequence[str] = ()
) -> tuple[Results, Path] | None:
    """Train the trials that a plan lacks, round by round if it has rounds, and write the report.

    Args:
        plan: the plan of a suite.
        results: the results folder; it is locked while this runs.
        where: the engine.
        telling: receives the events, and sentences for the user.
        accepted: digests of changes of the code that change no number (`--accept-change`).

    Returns: the results and the page; None after an interrupt.
    """
    from harness import report
    from harness.analysis import loading, looks
    from harness.execution import finished
    from harness.report import words
    from harness.store import folders
    from harness.suite.rates import uneven

    if warning := uneven(plan):
        telling.say(warning)
    with folders.exclusive(results, interrupts.command_line()):
        if accepted:
            n = loading.accept(plan, results, accepted, commit())
            telling.say(f"accepted {words.count(n, 'result')} of other code; the runs say so")
        for text in words.changes(loading.of_other_code(plan, results)):
            telling.say(text)
        while True:
            rounds = looks.progress(plan, results)
            if plan.suite.rounds is not None:
                telling.say(words.of_round(rounds))
            new = train(rounds.plan, results, where, telling)
            if new is None:
                return None
            outcome = looks.take(loading.load(rounds.plan, results), results)
            if looks.progress(plan, results).over or outcome.missing or looks.exhausted(outcome):
                break
        page = report.write(outcome, folders.Folders(results).report(plan.suite.name, bool(plan.only)))
        if new and not plan.only:
            _publish(outcome, page, results)
            finished.remember(rounds.plan, results)  # the database is another one now
            loading.load(rounds.plan, results)  # what is read of it now, the next command need not read
    return outcome, page


def _publish(outcome: Results, page: Path, results: Path) -> None:
    """Put the result onto the suite's run in MLflow. The report is there already, so a silent store is only told of."""
    from harness.report import shelf
    from harness.store.runs import Store

    try:
        shelf.publish(outcome, page, Store(results))
    except HarnessError as error:
        echo(f"MLflow's run of the suite does not show this result: {error}", err=True)


def train(plan: Plan, results: Path, where: Where, telling: Telling) -> bool | None:
    """Train the trials that the plan lacks; the caller holds the store's lock.

    Returns: whether anything may have been to do; None after an interrupt.
    """
    from harness.execution import finished

    if finished.is_known(plan, results):
        with telling.listener() as listener:
            listener.planned(len(plan.trials), len(plan.trials), ())
        return False
    fetch_all(plan, telling)
    from harness.execution import driver

    engine = where.make(plan, results)
    try:
        with telling.listener() as listener:
            driver.Driver(plan, results, engine, listener).run()
    except driver.Interrupted:
        telling.say(interrupts.interrupted_message())
        return None
    finally:
        engine.close()
    finished.remember(plan, results)
    return True


def fetch_all(plan: Plan, telling: Telling) -> None:
    """Download missing data and weights once, before several workers would do it at the same time, and verify them.

    Both splits are read in full: the test split is needed only after a trial has trained, too late to learn that it is
    damaged.
    """
    from harness.suite.plan import nested
    from harness.zoo.data.base import SPLITS

    arms = [cell.arm for cell in plan.cells if cell.excluded is None]
    choices = {choice for arm in arms for choice in (arm.data, *nested(arm.model)) if choice.kind == "data"}
    for choice in sorted(choices, key=lambda choice: choice.name):
        data: DataSet = choice.make()
        missing = not data.present()
        if missing:
            telling.say(f"{choice.name} is not on this machine: downloading it")
        where = data.fetch()
        for split in SPLITS:
            data.load(split)
        if missing:
            telling.say(where)
    asking = [arm for arm in arms if arm.evaluate.features == "inception"]
    if asking:
        from harness import judge
        from harness.judge.inception import weights_file

        lacking = judge.missing(asking[0].data)
        own = f"a judge of these data ({lacking})" if lacking else "the judge of these data: leave out `features`"
        weights_file(own)  # downloads the weights and checks their digest before the first trial
