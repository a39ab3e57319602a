"""The cost of what is around training: `harness plan`, `harness run` of a finished suite, `harness report`.

The suites are grids of settings × seeds. The stores are filled by the product's own path, a journal per trial that is
delivered to MLflow; only the numbers are made up. As a program it measures how the cost grows with the number of
trials.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_kit import Row

from harness.base.states import State
from harness.store.delivery import Delivery
from harness.store.folders import Folders, exclusive
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import Plan, Trial, make_plan
from harness.trial.task import Outcome

ROOT = Path(__file__).parents[1]
AGAINST = "HARNESS_BENCH_AGAINST"
"""The variable that names a checkout of an earlier commit; its command is what ours is compared with."""
SEEDS = 10
POINTS = 20
"""Points of each curve of a made-up trial."""


# --- suites and stores ----------------------------------------------------------------------------------------


def grid(trials: int, data: Sequence[str]) -> str:
    """A suite of about so many trials: data sets × two axes of rates × ten seeds."""
    cells = trials / SEEDS / len(data)
    first = max(1, round(math.sqrt(cells)))
    return f"""\
suite: grid_{trials}
data: digits
train: {{steps: 2, batch_size: 16}}
seeds: {SEEDS}
base: {{model: gan}}
matrix:
  data: [{", ".join(data)}]
  model.generator_rate: {_rates(first)}
  model.discriminator_rate: {_rates(max(1, round(cells / first)))}
evaluate: {{samples: 64, metrics: [precision_recall]}}
"""


def _rates(count: int) -> str:
    return f"[{', '.join(f'{1e-4 * (1 + number / 1000):.7f}' for number in range(count))}]"


def fill(plan: Plan, results: Path) -> None:
    """Put made-up outcomes of all trials of a plan into a store."""
    with exclusive(results, "bench_around"):
        store, work = Store(results), Folders(results).work
        store.create()
        for trial in plan.trials:
            _journal(plan, trial, work / trial.key)
        Delivery(store, work, print).deliver()


def _journal(plan: Plan, trial: Trial, folder: Path) -> None:
    rng = np.random.default_rng([trial.seed, int(trial.key[:8], 16)])
    records = Journal(folder)
    records.begin(plan.suite.name, trial)
    records.environment({"device": "cpu: made up", "precision": "float32", "threads": "1"})
    curves = ("generator_loss", "discriminator_loss", "d_real", "d_fake")
    values = rng.normal(1, 0.1, (len(curves), POINTS))
    records.points(
        [(name, step, float(value)) for name, own in zip(curves, values, strict=True) for step, value in enumerate(own)]
    )
    protocol = {"precision_recall": {"data": "digits", "samples": 64, "split": "test"}}
    shares = {"bins": ["a", "b"], "samples": [0.4, 0.6], "reference": [0.5, 0.5]}
    for name, value in {"protocol": protocol, "floors": {"precision": 1.0}, "histograms": {"classes": shares}}.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(value), encoding="utf-8")
        records.file(path, "")
    measured = {"precision": float(rng.uniform(0.4, 0.6)), "recall": float(rng.uniform(0.4, 0.6))}
    records.end(Outcome(State.DONE, values=measured, seconds_train=1.0, seconds_evaluate=0.5))


@functools.cache
def _folder() -> Path:
    """A temporary folder, until the process ends."""
    made = tempfile.mkdtemp(prefix="bench-around-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@functools.cache
def planned(trials: int) -> list[str]:
    """The words after `harness plan` for so many trials and an empty store."""
    suite = _folder() / f"planned-{trials}.yaml"
    suite.write_text(grid(trials, ("digits", "ring", "grid")), encoding="utf-8")
    return [str(suite), "--results", str(_folder() / "nothing")]


@functools.cache
def finished(trials: int, tree: Path) -> list[str]:
    """The words after `harness run` and `report` for so many finished trials, in a store that ``tree`` has filled.

    A run has seen it, and has drawn its figures: what is measured is the next one.
    """
    folder = _folder() / f"{tree.name}-{trials}"
    folder.mkdir()
    suite, results = folder / "suite.yaml", folder / "results"
    suite.write_text(grid(trials, ("digits",)), encoding="utf-8")
    _spent(tree, [__file__, "--fill", str(suite), "--results", str(results)])
    words = [str(suite), "--results", str(results)]
    command(tree, "run", words)
    return words


# --- measurements ---------------------------------------------------------------------------------------------


class Spent(NamedTuple):
    """What a process and its children have used."""

    seconds: float
    """Processor time."""
    megabytes: float
    """The most memory that one of them had."""


def command(tree: Path, name: str, words: Sequence[str]) -> Spent:
    """Run a command of the harness of a source tree."""
    return _spent(tree, ["-m", "harness", name, *words])


def _spent(tree: Path, words: Sequence[str]) -> Spent:
    """Run Python with the packages of a tree, in a process whose only child it is."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(_folder() / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, sys.executable, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    return Spent(seconds, megabytes)


_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.stdout[-1000:], done.stderr[-5000:], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(done.returncode)
"""


@functools.cache
def _compile(tree: Path) -> None:
    """Let Python compile the files of a tree once: that is no part of what is measured."""
    command(tree, "plan", planned(SEEDS))


def _seconds(name: str, trials: int, tree: Path) -> float:
    _compile(tree)
    return command(tree, name, planned(trials) if name == "plan" else finished(trials, tree)).seconds


def _row(name: str, trials: int, wanted: float) -> Row:
    against = os.environ.get(AGAINST)
    what = f"`harness {name}`, {trials} {'trials, empty store' if name == 'plan' else 'finished trials'}"
    ours = functools.partial(_seconds, name, trials, ROOT)
    other = functools.partial(_seconds, name, trials, Path(against)) if against else None
    return Row(f"{name}_{trials}", what, wanted, ours, other, unit="CPU-s")


ROWS = [
    _row(name, trials, wanted)
    for name, each in {
        "plan": {100: 1.0, 1000: 1.0, 10_000: 2.0, 100_000: 20.0},
        "run": {100: 2.0, 500: 3.0, 1000: 4.0},
        "report": {100: 3.0, 500: 4.0, 1000: 6.0, 10_000: 20.0},
    }.items()
    for trials, wanted in each.items()
]


# --- growth ---------------------------------------------------------------------------------------------------


def growth(sizes: Sequence[int], out: Path) -> None:
    """Measure all commands at these sizes; print, and write a table and a figure."""
    _compile(ROOT)
    lines, found = ["command,trials,cpu_seconds,megabytes"], dict[str, list[Spent]]()
    for trials in sizes:
        for name in ("plan", "run", "report"):
            words = planned(trials) if name == "plan" else finished(trials, ROOT)
            spent = command(ROOT, name, words)
            found.setdefault(name, []).append(spent)
            lines.append(f"{name},{trials},{spent.seconds:.2f},{spent.megabytes:.0f}")
            print(f"{name:<7} {trials:>7} trials  {spent.seconds:7.2f} CPU-s  {spent.megabytes:5.0f} MB", flush=True)
    for name, each in found.items():
        seconds, memory = (slope(sizes, [use[kind] for use in each]) for kind in (0, 1))
        print(f"{name:<7} {1000 * seconds:.2f} ms and {1000 * memory:.0f} kB a trial; {exponent(sizes, each)}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "around.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _drawn(sizes, found, out / "around.svg")


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """What a further trial costs: the slope of the straight line through these values."""
    return float(np.polyfit(sizes, values, 1)[0])


def exponent(sizes: Sequence[int], each: Sequence[Spent]) -> str:
    """How the cost beyond that of the smallest size grows: 1 is linear."""
    more = [(math.log(n - sizes[0]), use.seconds - each[0].seconds) for n, use in zip(sizes[1:], each[1:], strict=True)]
    grown = [(at, math.log(seconds)) for at, seconds in more if seconds > 0]
    if len(grown) < 2:
        return "too few sizes for an exponent"
    places, costs = zip(*grown, strict=True)
    return f"exponent {np.polyfit(places, costs, 1)[0]:.2f}"


def _drawn(sizes: Sequence[int], found: dict[str, list[Spent]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, each in found.items():
        axes.loglog(sizes, [use.seconds for use in each], "o-", label=f"harness {name}")
    axes.set_xlabel("trials")
    axes.set_ylabel("CPU seconds")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300, 1000, 3000, 10_000])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of around.csv and .svg")
    parser.add_argument("--fill", type=Path, metavar="SUITE", help="only fill a store for this suite")
    parser.add_argument("--results", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    if chosen.fill:
        fill(make_plan(read_suite(chosen.fill)), chosen.results)
    else:
        growth(chosen.trials, chosen.out)


if __name__ == "__main__":
    main()
