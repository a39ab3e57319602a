"""Trains and evaluates the shipped judge. The settings are those of the model card; a seed makes it reproducible.

``labelled`` trains a judge for any other data set, with the loop and the calibration of this file.

Both networks learn digits (MNIST's and scikit-learn's, lightly distorted) and outliers (``outliers.TRAINED`` and the
first images of a generator). The coverage network has one output for all outliers. The feature network learns equal
class probabilities for images that are far from any digit (``outliers.FAR``), so that such images cannot raise the
Inception score; an image close to a digit it assigns to the nearest class, like any classifier.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from harness.base import files
from harness.judge.catalogue import ROLES, write_sums
from harness.judge.loading import load
from harness.judge.networks import CoverageNetwork, FeatureNetwork, Size
from harness.judge.outliers import FAR, HELD_OUT, TRAINED, Family, Source
from harness.zoo.data.base import Labelled
from harness.zoo.optimisation import descend

NAME = "mnist"
CLASSES = 10
VALIDATION = 5000
"""Digits of MNIST's training split that are held out for the temperature and the threshold."""
ACCEPTED = 0.992
"""Share of the held-out digits that the threshold accepts."""


DISTORTED = 0.6
"""Share of the digits that are distorted in training; the same share of the digits that outliers are made of."""


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training."""

    epochs: float = 8
    batch_size: int = 256
    outliers: int = 160
    rate: float = 3e-3
    weight_decay: float = 1e-2


Report = Callable[[str], None]


def train(
    out: Path,
    device: str = "cpu",
    seed: int = 0,
    recipe: TrainingSettings | None = None,
    report: Report = print,
) -> None:
    """Train both networks of the judge of 28×28 digits and write their weights.

    Raises:
        HarnessError: MNIST is not on this machine.
    """
    recipe = recipe or TrainingSettings()
    training, validation = _digits()
    early = early_images("dcgan", (20, 40, 80), 1500, seed)
    steps = max(1, int(recipe.epochs * len(training.labels) / recipe.batch_size))
    said = {"seed": str(seed), "recipe": json.dumps(vars(recipe))}
    weights = {}
    for role in ROLES:
        source = Source(training.images, training.labels, generator(role, seed), DISTORTED)
        batches = _batches(role, source, early, recipe, steps)
        network = trained(role, CLASSES, Size(), device, seed, batches, steps, recipe, report)
        weights[role] = weights_of(network, role, validation, said)
    write(out, NAME, weights)
    report(f"weights written to {out}")


def generator(role: str, seed: int) -> torch.Generator:
    """The random generator of a network's images: the two networks see different images."""
    return torch.Generator().manual_seed(_seed(role, seed))


def _seed(role: str, seed: int) -> int:
    """The seed of a network. Not ``seeds.derived``: the shipped judge was trained with these seeds."""
    return seed + 1000 * ROLES.index(role)


def trained(
    role: str,
    classes: int,
    size: Size,
    device: str,
    seed: int,
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    rates: ErrorRates,
    report: Report,
) -> nn.Module:
    """Train one of the two networks of a judge for this number of steps (see ``fit``)."""
    torch.manual_seed(_seed(role, seed))
    kind = FeatureNetwork if role == "features" else CoverageNetwork
    network = kind(classes, size).to(device)
    fit(network, role, batches, steps, rates, functools.partial(tell, report, role))
    return network


Weights = tuple[dict[str, Tensor], dict[str, str]]
"""The tensors of a network, and the header of its file."""


def weights_of(network: nn.Module, role: str, validation: Labelled, said: Mapping[str, str]) -> Weights:
    """What is written for a trained network: its tensors; ``said`` (how it was trained) and its calibration."""
    tensors = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
    return tensors, {**said, "role": role} | calibrate(network, role, validation)


def write(
    folder: Path, name: str, weights: Mapping[str, Weights], further: Mapping[str, str] | None = None
) -> dict[str, Path]:
    """Write the two networks of a judge and their SHA-256 sums; returns the file of each."""
    paths = {role: folder / f"{name}-{role}.safetensors" for role in weights}
    for role, (tensors, said) in weights.items():
        files.write_bytes(paths[role], save(tensors, metadata={**said, **(further or {})}))
    write_sums(folder, name)
    return paths


class ErrorRates(Protocol):
    """The settings that the loop needs."""

    @property
    def rate(self) -> float:
        """The largest learning rate of the one-cycle schedule."""
        ...

    @property
    def weight_decay(self) -> float:
        """AdamW's weight decay."""
        ...


def fit(
    network: nn.Module,
    role: str,
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    rates: ErrorRates,
    report: Report,
) -> None:
    """Train a network for this number of steps.

    A batch has images as floats in [0, 1], those with a class first and then the outliers, and the labels of the first.
    """
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=rates.rate, weight_decay=rates.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates.rate, total_steps=steps)
    network.train()
    for step, (images, labels) in enumerate(batches):
        with torch.autocast(device.type, torch.bfloat16):
            output = network(images.to(device).contiguous(memory_format=torch.channels_last))
        loss = _loss(role, output, labels.to(device))
        descend(optimiser, loss)
        schedule.step()
        if step % 200 == 0:
            report(f"step {step} of {steps}, loss {float(loss.detach()):.4f}")
    network.eval()


def tell(report: Report, role: str, text: str) -> None:
    """Report a message about one of the two networks."""
    report(f"{role}: {text}")


def _loss(role: str, output: Any, labels: Tensor) -> Tensor:
    """Cross-entropy: to the labels; for outliers to "none" (coverage) or to the uniform distribution (features)."""
    n = len(labels)
    if role == "coverage":
        none = torch.full((len(output) - n,), output.shape[1] - 1, device=output.device)
        rejection = F.cross_entropy(output[n:].float(), none)
        return F.cross_entropy(output[:n].float(), labels) + 0.5 * rejection
    logits: Tensor = output[1].float()
    uniform = -logits[n:].log_softmax(1).mean()
    return F.cross_entropy(logits[:n], labels) + 0.3 * uniform


def _batches(
    role: str, source: Source, early: Tensor, recipe: TrainingSettings, steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches: images, the digits first and then the outliers, and the labels of the digits."""
    shown = {name: family for name, family in TRAINED.items() if role == "coverage" or name in FAR}
    share = recipe.outliers // (len(shown) + 1)
    for _ in range(steps):
        digits, labels = source.digits(recipe.batch_size)
        images = [digits, *(family(source, share) for family in shown.values())]
        images.append(early[torch.randint(len(early), (share,), generator=source.rng)])
        yield whole_greys(torch.cat(images)), labels


def whole_greys(images: Tensor) -> Tensor:
    """Images in [0, 1], rounded to multiples of 1/255, because a judge sees only such images."""
    return (images.clamp(0, 1) * 255).round() / 255


def early_images(model: str, steps: tuple[int, ...], each: int, seed: int) -> Tensor:
    """Samples of a generator after its first few steps on MNIST, floats in [0, 1]."""
    from harness.zoo.building import build
    from harness.zoo.data.pixels import from_uint8, to_uint8

    training, _ = _digits()
    game = build(model, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    images = []
    for step in range(1, max(steps) + 1):
        chosen = torch.randint(len(training.labels), (64,), generator=rng)
        game.step(Labelled(from_uint8(training.images[chosen]), training.labels[chosen]))
        if step in steps:
            images.append(to_uint8(game.sample(each, rng)).float() / 255)
    return torch.cat(images)


def calibrate(network: nn.Module, role: str, validation: Labelled) -> dict[str, str]:
    """The temperature with the largest likelihood, and the threshold that accepts the share ``ACCEPTED``."""
    device = next(network.parameters()).device
    with torch.no_grad():
        outputs = [network(batch.to(device).float() / 255) for batch in torch.split(validation.images, 1000)]
    logits = torch.cat([output if role == "coverage" else output[1] for output in outputs]).cpu()
    candidates = torch.linspace(0.5, 3, 251)
    losses = torch.stack([F.cross_entropy(logits / t, validation.labels) for t in candidates])
    temperature = float(candidates[losses.argmin()])
    calibrated = {"temperature": f"{temperature:.4f}"}
    if role == "coverage":
        scores = (logits / temperature).softmax(1)[:, :-1].amax(1)
        calibrated["threshold"] = f"{float(scores.quantile(1 - ACCEPTED)):.6f}"
    return calibrated


def _digits() -> tuple[Labelled, Labelled]:
    """Training digits (scikit-learn's six times, to give them weight beside MNIST's) and held-out digits."""
    mnist, small = (_load(name, "train") for name in ("mnist", "digits"))
    order = torch.randperm(len(mnist.labels), generator=torch.Generator().manual_seed(0))
    kept, used = order[:VALIDATION], order[VALIDATION:]
    images = torch.cat([mnist.images[used], small.images.repeat(6, 1, 1, 1)])
    labels = torch.cat([mnist.labels[used], small.labels.repeat(6)])
    return Labelled(images, labels), Labelled(mnist.images[kept], mnist.labels[kept])


def _load(name: str, split: Any) -> Labelled:
    from harness.zoo import registry

    choice = registry.choose("data", name)
    data: Labelled = choice.make().load(split)
    return data


def evaluate(device: str = "cpu") -> list[tuple[str, float, str]]:
    """Evaluate the shipped judge on data that it was not trained on; rows of (what, value, target)."""
    judge = load(NAME, device)
    rows: list[tuple[str, float, str]] = []
    for data in ("mnist", "digits"):
        images, labels = _load(data, "test")
        target = 0.995 if data == "mnist" else 0.98
        for role, output in (("features", judge.features(images)[1]), ("coverage", judge.assess(images)[0])):
            accuracy = float((output.argmax(1).cpu() == labels).float().mean())
            rows.append((f"accuracy of the {role} network, {data} test", accuracy, f"at least {target:.1%}"))
        share = float((judge.assess(images)[1] >= judge.threshold).float().mean())
        rows.append((f"accepted, {data} test", share, "at least 98.5 %"))
    test = _load("mnist", "test")
    source = Source(test.images, test.labels, torch.Generator().manual_seed(1))
    families = [(family, many(made, source, 2000)) for family, made in HELD_OUT.items()]
    families.append(("early images of a fully connected generator", early_images("gan", (100, 300, 600), 700, 1)))
    rates = [accepted(judge, images) for _, images in families]
    rows += [(f"accepted, never shown: {f}", r, "") for (f, _), r in zip(families, rates, strict=True)]
    rows.append(("accepted, never shown: mean over families", sum(rates) / len(rates), "at most 2 %"))
    for family, made in TRAINED.items():
        rows.append((f"accepted, shown in training: {family}", accepted(judge, many(made, source, 2000)), ""))
    return rows


def many(family: Family, source: Source, n: int) -> Tensor:
    """n images of a family, a hundred at a time: some families choose one cut or one order per call."""
    return torch.cat([family(source, 100) for _ in range(n // 100)])


def accepted(judge: Any, images: Tensor) -> float:
    """The share of images (floats) whose score reaches the judge's threshold."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return float((judge.assess(pixels)[1] >= judge.threshold).float().mean())
