"""The generator of a trial as an MLflow model: what its file ``MLmodel`` says.

The file is YAML, and JSON is YAML: a worker, which trains, need not import MLflow for it. It holds no time, so that
the same trial writes the same file. ``analysis/pyfunc.py`` loads the model again.
"""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

from harness.trial.task import MODEL

if TYPE_CHECKING:
    from harness.suite.plan import Trial
    from harness.zoo.data.base import DataSet
    from harness.zoo.models.base import Model

CONFIG = "config.json"
"""The file with the settings of a trial, among its artifacts and beside the weights."""
LOADER = "harness.analysis.pyfunc"
"""The module that MLflow imports to load the model."""
ANY = -1
"""The label that stands for images of any class."""


def model_of(trial: Trial, model: Model, data: DataSet) -> dict[str, Any]:
    """The content of ``MLmodel``: who loads it, what goes in and what comes out.

    In goes one column, ``samples``: the number of images. Parameters are ``seed`` and, if the model draws images of a
    given class, ``label``. Out come images (samples, height, width, channels), uint8; of a data set of points, points
    (samples, 2), float32 in [-1, 1].
    """
    shape = data.shape
    image = ("float32", [-1, 2]) if data.points else ("uint8", [-1, shape.height, shape.width, shape.channels])
    params = {"seed": trial.seed}
    if "conditional" in model.capabilities(model.settings):
        params["label"] = ANY
    signature = {
        "inputs": [{"type": "long", "name": "samples", "required": True}],
        "outputs": [{"type": "tensor", "tensor-spec": {"dtype": image[0], "shape": image[1]}}],
        "params": [{"name": name, "type": "long", "default": own, "shape": None} for name, own in params.items()],
    }
    return {
        "artifact_path": MODEL,
        "flavors": {"python_function": {"loader_module": LOADER, "python_version": platform.python_version()}},
        "signature": {name: json.dumps(value) for name, value in signature.items()},
    }
