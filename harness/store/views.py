"""A suite in MLflow's user interface: the address of its runs, and the view in which they open.

MLflow keeps the saved views of an experiment in tags of the experiment. The view that is saved here groups the trials
by arm, with the mean of each arm, and has a column for each value of the suite's metrics. A plain link to the
experiment would open MLflow's traces, which no GAN has.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Experiment

PORT = 5000
"""The port of `harness ui`, if no other is asked for."""
TAG = "mlflow.sharedViewState.harness"
"""The tag of an experiment with the view."""
NAME = "Arms"
"""What MLflow's list of saved views calls it."""
TRAINING = "workflowType=machine_learning"
"""What an address says at its end, so that the interface shows training, and not language models."""
HOME = f"/#/experiments?{TRAINING}"
"""Where the interface lists the experiments."""


def arms(columns: Iterable[str]) -> str:
    """The view of a suite whose metrics give these values, as the tag has it."""
    names = [f"metrics.`{name}`" for name in columns]
    state = {
        "selectedColumns": names,
        "columnOrder": names,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]},
    }
    now = int(time.time() * 1000)
    return json.dumps({"name": NAME, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})


def path(experiment: Experiment) -> str:
    """Where the interface shows the runs of an experiment, in its view if it has one, without the server's name."""
    view = f"&viewStateShareKey={TAG.rpartition('.')[2]}" if TAG in experiment.tags else ""
    return f"/#/experiments/{experiment.experiment_id}/runs?{TRAINING}{view}"


def trials(table: str, store: str) -> str:
    """The beginning of the addresses of trials, before the id of a run and ``?TRAINING``.

    Args:
        table: the address of the suite's runs; "" if it has none.
        store: the address of the store. An address with the id alone is sent on to the page about language models.
    """
    return f"{table.partition('/runs?')[0]}/runs/" if table else f"{site(store)}/#/runs/"


def site(store: str) -> str:
    """The address of the interface of a store: the server's, without a password; else that of `harness ui`."""
    return re.sub(r"//[^/@]*@", "//", store).rstrip("/") if store.startswith("http") else here()


def here(port: int = PORT) -> str:
    """The address of `harness ui`."""
    return f"http://127.0.0.1:{port}"
