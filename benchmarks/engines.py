"""What an engine costs: small trials on 1, 2 and 4 slots, beside the time of the trials themselves.

    python benchmarks/engines.py [--engines local slurm ray] [--slots 1 2 4] [--trials 12] [--out results/benchmarks]

SLURM and Ray, each with two nodes, are started on this machine alone, as the tests of tests/cluster do. All share its
cores: more slots than cores make every trial slower. A trial's own time is that of its training and its evaluation;
the time between its submission and its last event, less that, is the overhead. A slot's first trial is apart: workers
that take more than one start with it. Time is by the clock, because waiting is what an engine costs most.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.execution.engine import Died, Ended, Engine, Site
from harness.store.journal import Journal
from harness.suite import Resources, Run, read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Task
from harness.zoo import registry

ROOT = Path(__file__).parents[1]
SUITE: dict[str, Any] = {
    "suite": "small",
    "data": "ring",
    "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 32}}},
    "train": {"steps": 1500, "batch_size": 64, "precision": "float32"},
    "evaluate": {"samples": 500, "metrics": ["high_quality_modes"]},
    "run": {"snapshots": 0},
}
FIELDS = ("engine", "slots", "trials", "a minute", "own", "first", "later", "share")
"""Of the table. Trials that end in a minute; seconds of a trial itself, of what the first trial of a slot costs beside
that, and a later one; the share of the slots' time that trials themselves have, in percent.
"""


@dataclass
class Spent:
    """Seconds of a trial: from its submission to its last event, and those of its training and evaluation."""

    whole: float
    own: float

    @property
    def overhead(self) -> float:
        return self.whole - self.own


def tasks(folder: Path, count: int) -> list[Task]:
    """So many trials, with their journals begun."""
    path = folder / "small.json"  # JSON is YAML
    path.write_text(json.dumps(SUITE | {"seeds": count}))
    plan = make_plan(read_suite(path))
    made = [Task(t, plan.suite.run, folder / "work" / t.key, folder / "cache") for t in plan.trials]
    for task in made:
        Journal(task.folder).begin("small", task.trial)
    return made


def run(engine: Engine, waiting: list[Task]) -> list[Spent]:
    """Run trials to their ends, in the order of their submission."""
    waiting, submitted, spent = waiting[::-1], dict[str, float](), dict[str, Spent]()
    while waiting or len(spent) < len(submitted):
        while waiting and engine.free:
            task = waiting.pop()
            submitted[task.key] = time.monotonic()
            engine.submit(task)
        for event in engine.wait(1.0):
            if isinstance(event, Died):
                raise RuntimeError(f"a worker died: {event.reason}")
            if isinstance(event, Ended):
                own = event.outcome.seconds_train + event.outcome.seconds_evaluate
                spent[event.key] = Spent(time.monotonic() - submitted[event.key], own)
    return [spent[key] for key in submitted]


@contextlib.contextmanager
def prepared(name: str) -> Iterator[dict[str, Any]]:
    """The engine's settings, with the cluster that it needs."""
    sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "cluster")]
    if name == "slurm":
        import slurm_cluster

        with slurm_cluster.cluster() as cluster:
            os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
            yield {"name": "slurm"}
    elif name == "ray":
        import nodes

        with nodes.cluster(hidden=[]) as made:
            for _ in range(2):
                made.join(cpus=2)
            yield {"name": "ray", "address": made.address}
            import ray

            ray.shutdown()
    else:
        yield {"name": name}


def measured(settings: dict[str, Any], slots: int, trials: int) -> dict[str, object]:
    """A row of the table."""
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        site = Site(Path(folder), Run(), Resources(cpus=1), device="cpu", workers=slots)
        engine: Engine = registry.choose("engines", settings).make(site)
        try:
            waiting, began = tasks(Path(folder), trials), time.monotonic()
            spent = run(engine, waiting)
            seconds = time.monotonic() - began
        finally:
            engine.close()
    own = [one.own for one in spent]
    found = {
        "a minute": 60 * trials / seconds,
        "own": statistics.fmean(own),
        "first": statistics.fmean(one.overhead for one in spent[:slots]),
        "later": statistics.fmean(one.overhead for one in spent[slots:]),
        "share": 100 * sum(own) / (slots * seconds),
    }
    return {"engine": settings["name"], "slots": slots, "trials": trials} | {k: f"{v:.3g}" for k, v in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["local", "slurm", "ray"], help="by name")
    parser.add_argument("--slots", nargs="+", type=int, default=[1, 2, 4], help="trials at a time")
    parser.add_argument("--trials", type=int, default=12, help="trials of a measurement; more than slots")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks", help="the folder of engines.csv")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "engines.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, FIELDS)
        table.writeheader()
        for name in chosen.engines:
            with prepared(name) as settings:
                for slots in chosen.slots:
                    row = measured(settings, slots, chosen.trials)
                    table.writerow(row)
                    file.flush()
                    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(path)


if __name__ == "__main__":
    main()
