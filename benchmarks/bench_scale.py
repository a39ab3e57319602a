"""How what a large run costs grows: the driver over many trials, a search over many configurations.

    python benchmarks/bench_scale.py [--trials 10000] [--configurations 1000] [--slots 64]

The stores are real; nothing is trained: a trial has a journal of two curves with twenty points each, and no files. The
driver runs one suite, and its processor time, memory and open files are read every so many trials; what it takes to
open the stores counts to the first. The search tries its configurations on so many slots, and beside it Optuna does the
same alone: in memory, which is what its sampler costs, and in its SQLite store. All times are processor times, so other
programs on the machine matter little.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import resource
import sqlite3
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import optuna
import sqlalchemy
from bench_driver import SUITE, MadeUp, Silent
from optuna.distributions import FloatDistribution
from sqlalchemy import event

from harness.base.states import State
from harness.execution.driver import Driver
from harness.execution.engine import Ended, Event, Started, Stepped
from harness.execution.study import SearchQueue, storage
from harness.store.delivery import Delivery
from harness.store.folders import Folders
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import Plan, make_plan
from harness.trial.task import Outcome

if TYPE_CHECKING:
    from harness.execution.study import Work

T = TypeVar("T")
WINDOWS = 20
"""How often the costs are read in a run."""
UNDELIVERED = 500
"""Journals that may wait for their delivery: trials that take no time would else pile up."""
RATE: dict[str, Any] = {"type": "float", "low": 1e-5, "high": 1e-2, "log": True}
SPACE = {f"model.{name}": RATE for name in ("generator_rate", "discriminator_rate")} | {
    "model.beta1": {"type": "float", "low": 0.0, "high": 0.9}
}
DISTRIBUTIONS = {
    path: FloatDistribution(one["low"], one["high"], log=bool(one.get("log"))) for path, one in SPACE.items()
}


class Read(NamedTuple):
    """What is read of a run.

    Attributes:
        what: what runs.
        done: how many trials or configurations have ended.
        milliseconds: processor time for each since the last reading.
        megabytes: memory of the process.
        files: its open files.
    """

    what: str
    done: int
    milliseconds: float
    megabytes: float
    files: int


class Meter:
    """Reads what this process uses, after every so many trials."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.every = what, max(1, total // WINDOWS)
        self.reads: list[Read] = []
        self.done, self._seconds = 0, time.process_time()

    def ended(self, beside: float = 0.0) -> None:
        """A trial has ended. ``beside``: processor seconds so far that do not count."""
        self.done += 1
        if self.done % self.every == 0:
            now = time.process_time() - beside
            self.reads.append(Read(self.what, self.done, 1000 * (now - self._seconds) / self.every, *_held()))
            self._seconds = now
            print(*self.reads[-1], flush=True)


def _held() -> tuple[float, int]:
    """Megabytes of memory, and open files; where /proc is missing, the most memory so far, and no files."""
    if not Path("/proc/self/statm").exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6, len(os.listdir("/proc/self/fd"))


class Metered(MadeUp):
    """An engine that trains nothing, and reads what the driver uses. It waits while many journals are undelivered."""

    def __init__(self, meter: Meter, points: int = 20) -> None:
        super().__init__()
        self.meter, self.points = meter, points

    def wait(self, seconds: float) -> list[Event]:
        task = self.tasks.pop(0)
        began = time.thread_time()
        while self.meter.done % 50 == 0 and len(os.listdir(task.folder.parent)) > UNDELIVERED:
            time.sleep(0.1)
        outcome = Outcome(State.DONE, "", {"sharpness": 1.0}, 0.1, 0.1)
        records = Journal(task.folder)
        records.environment({"device": "cpu", "precision": "float32"})
        records.points(
            [(name, step, 1.5) for name in ("generator_loss", "d_real") for step in range(1, self.points + 1)]
        )
        records.end(outcome)
        self.seconds += time.thread_time() - began
        self.meter.ended(self.seconds)
        return [Started(task.key, "cpu"), Stepped(task.key, 20, {"generator_loss": 1.5}), Ended(task.key, outcome)]


def _plan(folder: Path, **changes: Any) -> Plan:
    path = folder / "suite.json"  # JSON is YAML
    path.write_text(json.dumps(SUITE | changes), encoding="utf-8")
    return make_plan(read_suite(path))


def driver(trials: int) -> list[Read]:
    """A run of so many trials, in arms of ten seeds."""
    rates = [1e-4 * (1 + number / trials) for number in range(max(1, trials // 10))]
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        plan = _plan(Path(folder), seeds=10, matrix={"model.generator_rate": rates})
        meter = Meter("driver", len(plan.trials))
        Driver(plan, Path(folder) / "results", Metered(meter), Silent()).run()
    return meter.reads


def stored(points: int) -> dict[str, float]:
    """What one more trial with so many points of each of two curves costs the stores: statements, and bytes."""
    few, many = (_stored(seeds, points) for seeds in (10, 40))
    return {what: (many[what] - few[what]) / 30 for what in many}


def _stored(seeds: int, points: int) -> dict[str, int]:
    counts: Counter[str] = Counter()

    def count(connection: Any, *words: Any) -> None:
        counts[f"statements to {Path(connection.engine.url.database).name}"] += 1

    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        plan, results = _plan(Path(folder), seeds=seeds), Path(folder) / "results"
        event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
        try:
            Driver(plan, results, Metered(Meter("stores", seeds), points), Silent()).run()
        finally:
            event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
        with contextlib.closing(sqlite3.connect(results / "mlflow.db")) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        counts["bytes of mlflow.db"] = (results / "mlflow.db").stat().st_size
    return dict(counts)


def delivered(trials: int = 30) -> dict[str, float]:
    """Processor milliseconds for each running trial when journals are delivered, every few seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        plan, results = _plan(Path(folder), seeds=trials), Path(folder) / "results"
        store, work = Store(results), Folders(results).work
        store.create()
        delivery = Delivery(store, work, print)
        journals = [Journal(work / trial.key) for trial in plan.trials]
        for records, trial in zip(journals, plan.trials, strict=True):
            records.begin(plan.suite.name, trial)
        found, step = {"a new run": _milliseconds(delivery.deliver, trials)}, 0
        for what, points in {"1 point": 1, "20 points": 20, "nothing new": 0}.items():
            for records in journals if points else ():
                records.points([(name, step + n, 1.5) for name in ("generator_loss", "d_real") for n in range(points)])
            step += points
            found[what] = _milliseconds(delivery.deliver, trials)
    return found


def _milliseconds(does: Callable[[], None], trials: int) -> float:
    began = time.process_time()
    does()
    return 1000 * (time.process_time() - began) / trials


def search(configurations: int, slots: int) -> list[Read]:
    """A search on so many slots."""
    wanted = {"n_trials": configurations, "space": SPACE, "parallel": "slots"}
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        plan = _plan(Path(folder), seeds=1, search=wanted)
        queue = SearchQueue(plan.suite, plan.cells[0], storage(Path(folder)), {})
        meter = Meter("search", configurations)

        def end(work: Work) -> None:
            value = float(work.trial.arm.model.canonical()["generator_rate"])
            queue.tell(work.trial.key, Outcome(State.DONE, "", {"sharpness": value}, 1.0, 1.0))

        _on_slots(slots, queue.next, end, meter)
    return meter.reads


def alone(configurations: int, slots: int, sqlite: bool) -> list[Read]:
    """Optuna's own ask and tell for as many configurations, on as many slots."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        store = f"sqlite:///{folder}/optuna.db" if sqlite else None
        sampler = optuna.samplers.TPESampler(seed=0)
        study = optuna.create_study(storage=store, sampler=sampler, direction="maximize")
        meter = Meter("optuna on SQLite" if sqlite else "optuna in memory", configurations)
        left = iter(range(configurations))

        def ask() -> optuna.Trial | None:
            return study.ask(dict(DISTRIBUTIONS)) if next(left, None) is not None else None

        _on_slots(slots, ask, lambda trial: study.tell(trial, trial.params["model.generator_rate"]), meter)
    return meter.reads


def _on_slots(slots: int, ask: Callable[[], T | None], end: Callable[[T], Any], meter: Meter) -> None:
    """Ask for a trial whenever a slot is free; the oldest ends first."""
    running: deque[T] = deque()
    while True:
        while len(running) < slots and (new := ask()) is not None:
            running.append(new)
        if not running:
            return
        end(running.popleft())
        meter.ended()


def measured(trials: int, configurations: int, slots: int) -> Iterator[Read]:
    """All readings, those that may show growth first."""
    yield from driver(trials)
    yield from search(configurations, slots)
    yield from alone(configurations, slots, sqlite=False)
    yield from alone(configurations, slots, sqlite=True)


def _drawn(reads: list[Read], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    cost, memory, searches = figure.subplots(1, 3)
    for axes, names, field in (
        (cost, ["driver"], "milliseconds"),
        (memory, ["driver"], "megabytes"),
        (searches, ["search", "optuna on SQLite", "optuna in memory"], "milliseconds"),
    ):
        for name in names:
            own = [read for read in reads if read.what == name]
            axes.plot([read.done for read in own], [getattr(read, field) for read in own], ".-", label=name)
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.set_xlabel("configurations" if "search" in names else "trials")
        axes.legend(frameon=False)
    cost.set_ylabel("CPU milliseconds a trial")
    memory.set_ylabel("MB")
    searches.set_ylabel("CPU milliseconds each")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="trials of the driver's run")
    parser.add_argument("--configurations", type=int, default=1000, help="configurations of the search")
    parser.add_argument("--slots", type=int, default=64, help="slots of the search")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of scale.csv and .png")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for points in (20, 200):
        print(f"a trial with 2 curves of {points} points:", json.dumps(stored(points)), flush=True)
    print("CPU milliseconds of a delivery, for each running trial:", json.dumps(delivered()), flush=True)
    reads = list(measured(chosen.trials, chosen.configurations, chosen.slots))
    chosen.out.mkdir(parents=True, exist_ok=True)
    with (chosen.out / "scale.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Read._fields, *(_rounded(read) for read in reads)])
    _drawn(reads, chosen.out / "scale.png")


def _rounded(read: Read) -> Read:
    return read._replace(milliseconds=round(read.milliseconds, 2), megabytes=round(read.megabytes, 1))


if __name__ == "__main__":
    main()
