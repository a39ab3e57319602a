"""The artifacts of a trial: sample grids, pictures, protocol, weights. They change no number."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.base.files import write_bytes, write_json
from harness.trial import visits
from harness.trial.evaluation import Evaluation, sampling_seed
from harness.trial.mlmodel import CONFIG, model_of
from harness.trial.pictures import above_nearest, in_rows, save_points, save_thumbnail, save_tiles
from harness.trial.task import MODEL, SNAPSHOTS, WEIGHTS, snapshot, step_of
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.base import Model

if TYPE_CHECKING:
    from harness.suite.plan import Trial
    from harness.trial.task import Recorder, Task
    from harness.zoo.data.base import DataSet

GRID = 8
"""Rows and columns of a grid of samples."""
NEAREST = "samples_above_their_nearest_training_images"
"""The picture that shows whether samples are copies."""
POINTS = 2500
"""Points in a picture of samples, for data sets of points."""


class Files:
    """Writes the files of a running trial to its folder, and passes each to the recorder."""

    def __init__(self, task: Task, model: Model, recorder: Recorder, data: DataSet) -> None:
        self.folder = task.folder
        self.task = task
        self.model = model
        self.recorder = recorder
        self.data = data
        self._settings("")

    def snapshot(self, step: int) -> None:
        """Save a grid of samples. Its latents are the same throughout training."""
        self._keep_snapshot(step, self._grid(snapshot(step)))

    def snapshots_until(self, step: int) -> None:
        """Record again the snapshots made before a checkpoint: a trial that starts again has a new journal."""
        steps = {path: step_of(path.name) for path in self.folder.glob("*.png")}
        drawn = [(at, path) for path, at in steps.items() if at is not None and at <= step]
        for at, path in sorted(drawn):
            self._keep_snapshot(at, path)

    def final(self, evaluation: Evaluation) -> None:
        """Save the files that exist only at the end of a trial."""
        from safetensors.torch import save

        self._keep(self._grid("final.png"), "samples")
        self._keep(self._real("real.png"), "samples")
        self._pictures()
        self._json("histograms.json", evaluation.histograms)
        compute = self.model.compute
        trained = {"trained_on": compute.device.type, "trained_in": str(compute.dtype).removeprefix("torch.")}
        self._json("protocol.json", {metric: fields | trained for metric, fields in evaluation.protocol.items()})
        self._json("floors.json", evaluation.floors)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.weights().items()}
        write_bytes(self.folder / WEIGHTS, save(weights))
        self._keep(self.folder / WEIGHTS, MODEL)
        self._settings(MODEL)
        self._json("MLmodel", model_of(self.task.trial, self.model, self.data), MODEL)

    def _grid(self, name: str) -> Path:
        return self._drawn(self.model.sample(self._shown, self._rng()), name)

    def _real(self, name: str) -> Path:
        """Real images of the test split, drawn like samples, to compare with."""
        images = self.data.load("test").images[: self._shown]
        return self._drawn(images if self.data.points else as_floats(images), name)

    @property
    def _shown(self) -> int:
        """How many samples a picture shows."""
        return POINTS if self.data.points else GRID * GRID

    def _drawn(self, samples: torch.Tensor, name: str) -> Path:
        path = self.folder / name
        if self.data.points:
            save_points(samples, path)
        else:
            save_tiles(in_rows(samples, GRID), path)  # a small data set has fewer real images
        return path

    def _rng(self) -> torch.Generator:
        return torch.Generator(self.model.compute.device).manual_seed(sampling_seed(self.task.trial.seeds.samples))

    def _pictures(self) -> None:
        """Save the other pictures of the model: interpolations, reconstructions, codes, and the nearest real images."""
        if self.data.points:
            return
        real = as_floats(self.data.load("test").images[: GRID * GRID].to(self.model.compute.device))
        samples = self.model.sample(GRID * GRID // 2, self._rng())
        nearest = {NEAREST: above_nearest(samples, self.data.load("train").images, GRID)}
        for name, tiles in (self.model.pictures(real, self._rng()) | nearest).items():
            path = self.folder / f"{name}.png"
            save_tiles(tiles, path)
            self._keep(path, "pictures")

    def _settings(self, folder: str) -> None:
        self._json(CONFIG, self.task.trial.arm.config() | _seeds(self.task.trial), folder)

    def _json(self, name: str, value: Any, folder: str = "") -> None:
        write_json(self.folder / name, value)
        self._keep(self.folder / name, folder)

    def _keep_snapshot(self, step: int, path: Path) -> None:
        self._keep(path, SNAPSHOTS)
        self._keep(save_thumbnail(path), SNAPSHOTS)
        if self._visits is not None:
            self.recorder.points(self._visits.read(path, step))

    @cached_property
    def _visits(self) -> visits.Visits | None:
        """What reads the classes of the snapshots, if a metric asks for the judge."""
        return visits.of(self.task.trial.arm.evaluate, self.data, self._shown, self.model.compute.device)

    def _keep(self, path: Path, folder: str = "") -> None:
        self.recorder.file(path, folder)


def _seeds(trial: Trial) -> dict[str, Any]:
    """The seed of a trial, and the seeds of the random streams that have their own."""
    return {"seed": trial.seed} | ({"streams": dict(trial.streams)} if trial.streams else {})
