"""The cost of what is around training: `harness plan`, `harness run` of a finished suite, `harness report`.

The suites are grids of settings × seeds. The stores are filled by the product's own path, a journal per trial that is
delivered to MLflow; only the numbers are made up.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.base.states import State
from harness.store.delivery import Delivery
from harness.store.folders import Folders, exclusive
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import Plan, Trial, make_plan
from harness.trial.task import Outcome

AGAINST = "HARNESS_BENCH_AGAINST"
"""The variable that names a checkout of an earlier commit; its command is what ours is compared with."""
SEEDS = 10
POINTS = 20
"""Points of each curve of a made-up trial."""


def grid(trials: int, data: tuple[str, ...] = ("digits", "ring", "grid")) -> str:
    """A suite of about so many trials: data sets × two axes of rates × ten seeds."""
    cells = trials / SEEDS / len(data)
    first = max(1, round(cells**0.5))
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


def finished(trials: int, folder: Path) -> tuple[Path, Path]:
    """A suite file, and a results folder in which all its trials have finished."""
    suite, results = folder / f"grid_{trials}.yaml", folder / f"results_{trials}"
    if not results.exists():
        suite.write_text(grid(trials, ("digits",)), encoding="utf-8")
        fill(make_plan(read_suite(suite)), results)
    return suite, results


def fill(plan: Plan, results: Path) -> None:
    """Put made-up outcomes of all trials of a plan into a store."""
    with exclusive(results, "bench_around"):
        store, work = Store(results), Folders(results).work
        store.create()
        for trial in plan.trials:
            _journal(plan, trial, work / trial.key)
        delivery = Delivery(store, work, print)
        delivery.deliver()


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
