"""A trial's generator as ``mlflow.pyfunc.load_model("runs:/RUN/generator")`` gives it: ``predict`` draws images.

MLflow imports this module because the file ``MLmodel`` of the model names it. The weights are safetensors, the settings
JSON: reading them runs no code. The data of the trial and its plug-ins must be there, because models are built from
them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.analysis import sampling
from harness.base.errors import HarnessError
from harness.trial.device import on_device
from harness.trial.evaluation import sampling_seed
from harness.trial.mlmodel import ANY, CONFIG
from harness.trial.run import restored
from harness.trial.task import WEIGHTS
from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def _load_pyfunc(path: str) -> Generator:
    """Load a model for MLflow, on the GPU if torch finds one.

    Args:
        path: its folder.

    Raises:
        HarnessError: a file is damaged, its settings are unknown here, or its data are missing.
    """
    return Generator(Path(path), torch.device("cuda" if torch.cuda.is_available() else "cpu"))


class Generator:
    """The generator of a trial.

    Args:
        folder: the files of the model.
        device: where to compute.

    Raises:
        HarnessError: see ``_load_pyfunc``.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        self.arm = sampling.arm_with(config, whose := f"the model in {folder}", whose)
        self.seed = int(config["seed"])
        data = self.arm.data.make()
        training = on_device(data.load("train"), device)
        self.points = data.points
        self.device = device
        self.model = restored(self.arm, self.seed, device, data.shape, training, folder / WEIGHTS)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> NDArray[Any]:
        """Draw images.

        Args:
            model_input: a column ``samples`` with the number of images; of several rows, their sum.
            params: ``seed``: another seed draws other images; that of the trial, which is the default, those of its
                evaluation. ``label``: the class of the images; -1, the default, is any.

        Returns: images (samples, height, width, channels), uint8; points (samples, 2), float32 in [-1, 1].

        Raises:
            HarnessError: there is no such class, or the number is negative.
        """
        n, wanted = int(model_input["samples"].sum()), {"seed": self.seed, "label": ANY} | (params or {})
        if n < 0:
            raise HarnessError(f"samples is {n}: expected 0 or more")
        rng = torch.Generator(self.device).manual_seed(sampling_seed(int(wanted["seed"])))
        label = int(wanted["label"])
        images = sampling.images_of(self.model, self.arm, n, rng, None if label == ANY else label)
        found: NDArray[Any]
        if self.points:
            found = images.flatten(1).numpy().astype(np.float32)
        else:
            found = to_uint8(images).permute(0, 2, 3, 1).numpy()
        return found
