"""Trains and evaluates a judge for any labelled data set.

Like the shipped judge (``training``): three networks, outliers beside the data, temperature and
threshold from held-out images. The differences: the outliers are made from the data itself (``families``), the networks
have the data's shape, and the number of steps is fixed, so that small and large data sets take the same time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import judge as judges
from harness.base.errors import HarnessError
from harness.judge import catalogue
from harness.judge.families import NEVER_SHOWN, NOWHERE_NEAR, SHOWN, AnySource
from harness.judge.judge import Judge
from harness.judge.networks import Size
from harness.judge.styles import restyled
from harness.judge.training import (
    DISTORTED,
    Batches,
    Report,
    Weights,
    accepted,
    generator,
    many,
    style_accepted,
    style_batches,
    styled,
    trained,
    weights_of,
    whole_greys,
    write,
)
from harness.zoo import registry
from harness.zoo.data.base import DataSet, Labelled

SMALLEST = 8
"""Least number of pixels of the shorter side of an image."""
FEWEST = 100
"""Least number of images in the training split."""
MEASURED = 10_000
"""Largest number of test images for accuracy and acceptance."""
OUTLIERS = 500
"""Images of every family of outliers in the evaluation."""


@dataclass(frozen=True)
class LabelledSettings:
    """Settings of the training.

    Attributes:
        all_steps: training steps of the feature and the shape network; the style network has a third of them.
        factor: width of the networks, as a multiple of the shipped judge's.
        mirror: whether a mirrored image shows the same class.
        each: images of every family of outliers in a mini-batch.
    """

    all_steps: int = 2000
    factor: int = 1
    mirror: bool = False
    batch_size: int = 128
    each: int = 5
    rate: float = 3e-3
    weight_decay: float = 1e-2

    def steps(self, role: str) -> int:
        """The training steps of a network."""
        return max(1, self.all_steps // 3) if role == "style" else self.all_steps


def train(
    data: DataSet,
    choice: Mapping[str, Any],
    out: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    recipe: LabelledSettings | None = None,
    report: Report = print,
) -> str:
    """Train a judge for a data set, evaluate it, write its weights; returns its name.

    Args:
        data: the data set.
        choice: its name and settings, as in a suite; written to the files, so that ``evaluate`` can load the data.
        out: the folder for the weights; None: the folder in which the harness looks for judges.
        device: where to train.
        seed: the seed of weights, batches and outliers.
        recipe: settings of the training.
        report: receives messages.

    Raises:
        HarnessError: a judge cannot be trained for this data, or the data cannot be loaded.
    """
    recipe, name = recipe or LabelledSettings(), catalogue.trained_name(data)
    training, validation = _parts(data, seed)
    said = {"seed": str(seed), "recipe": json.dumps(asdict(recipe)), "data_hash": data.digest()}
    said |= {"data": json.dumps(choice), "held_back": str(len(validation.labels))}
    size = Size(*data.shape[:3], recipe.factor)
    said |= {key: str(number) for key, number in size._asdict().items()}
    weights = {}
    for role in catalogue.ROLES:
        source = AnySource(training.images, training.labels, generator(role, seed), DISTORTED, recipe.mirror)
        batches = style_batches(source, recipe.batch_size) if role == "style" else _batches(role, source, recipe)
        made = trained(role, "plain", data.shape.classes, size, device, seed, batches, recipe, report, training)
        weights[role] = weights_of(made, role, validation, said)
    measured = _tried(name, weights, data, device)
    for what, value in measured.items():
        report(f"{what:<60} {value:8.4f}")
    folder = out or catalogue.trained_folder()
    write(folder, name, weights, {"measured": json.dumps(measured)})
    report(f"the judge {name} is written to {folder}")
    return name


def evaluate(name: str, device: str = "cpu") -> dict[str, float]:
    """Evaluate a judge that was trained on this machine again, on the test split of its data.

    Raises:
        HarnessError: there is no such judge; or its data is missing or has changed.
    """
    path = catalogue.files(name)["shape"]
    said = catalogue.header(path)
    if "data" not in said:
        raise HarnessError(f"{path}: does not say which data the judge was trained on: {catalogue.remedy(path)}")
    choice = registry.choose("data", json.loads(said["data"]))
    data = choice.make()
    if data.digest() != said["data_hash"]:
        raise HarnessError(
            f"the data {data.name} has changed since the judge {name} was trained: train a judge for the new data with "
            f"`{catalogue.training_command(json.loads(said['data']))}`"
        )
    return measure(judges.load(name, device), data)


def measure(judge: Judge, data: DataSet) -> dict[str, float]:
    """Accuracy and acceptance on the test split, and acceptance of outliers made from it; shares by description."""
    test, rng = data.load("test"), torch.Generator().manual_seed(1)
    chosen = torch.randperm(len(test.labels), generator=rng)[:MEASURED]
    images, labels = test.images[chosen], test.labels[chosen]
    probabilities, scores = judge.assess(images)
    rows = {
        "accuracy of the features network": _share(judge.features(images)[1].argmax(1).cpu() == labels),
        "accuracy of the shape network": _share(probabilities.argmax(1).cpu() == labels),
        "accepted": _share(scores >= judge.threshold),
        "style accepted": _share(judge.style(images) >= judge.style_threshold),
    }
    rows = {f"{what}, {data.name} test": value for what, value in rows.items()}
    source = AnySource(images, labels, rng)
    changed = styled(source, source.digits(MEASURED // 10)[0])
    rows["style accepted, images in other styles"] = style_accepted(judge, changed)
    for known, families in (("never shown", NEVER_SHOWN), ("shown in training", SHOWN)):
        rates = {family: accepted(judge, many(made, source, OUTLIERS)) for family, made in families.items()}
        rows |= {f"accepted, {known}: {family}": rate for family, rate in rates.items()}
        rows[f"accepted, {known}: mean over families"] = sum(rates.values()) / len(rates)
    return rows


def _share(right: Tensor) -> float:
    return float(right.float().mean())


def _parts(data: DataSet, seed: int) -> tuple[Labelled, Labelled]:
    """The training split without a tenth (at most 5 000 images), and that tenth, held out for the calibration."""
    if data.points:
        raise HarnessError(f"{data.name} holds points: judges are for images")
    if min(data.shape[1:3]) < SMALLEST:
        raise HarnessError(
            f"{data.name} has images of {data.shape.height}×{data.shape.width}: "
            f"a judge needs at least {SMALLEST}×{SMALLEST}"
        )
    images, labels = data.load("train")
    present = int((labels.bincount() > 0).sum())
    if present < 2 or len(labels) < FEWEST:
        raise HarnessError(
            f"{data.name} has {len(labels)} images of {present} class{'es' * (present != 1)} to train on: "
            f"a judge needs at least {FEWEST} images and two classes"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    kept, used = order.tensor_split([min(5000, len(labels) // 10)])
    return Labelled(images[used], labels[used]), Labelled(images[kept], labels[kept])


def _batches(role: str, source: AnySource, recipe: LabelledSettings) -> Batches:
    """Batches: images, those of the data first and then the outliers, and the labels of the first."""
    shown = [family for name, family in SHOWN.items() if role == "shape" or name in NOWHERE_NEAR]
    while True:
        images, labels = source.digits(recipe.batch_size)
        batch = torch.cat([images, *(family(source, recipe.each) for family in shown)])
        if role == "shape":
            batch = restyled(source, batch.clamp(0, 1))
        yield whole_greys(batch), labels


def _tried(name: str, weights: Mapping[str, Weights], data: DataSet, device: str) -> dict[str, float]:
    """Evaluate the judge with these weights, after writing and reading them."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(Judge(name, write(Path(folder), name, weights), "", device), data)
