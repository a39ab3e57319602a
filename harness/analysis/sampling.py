"""Draws images with the weights that a finished trial has published.

No suite is needed: the trial has kept its settings. Needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.base.errors import HarnessError
from harness.base.seeds import derived
from harness.suite.declaration import Evaluate, Train
from harness.suite.plan import Arm
from harness.trial.artifacts import GRID
from harness.trial.device import computing, on_device
from harness.trial.evaluation import GENERATION_BATCH, sampling_seed
from harness.trial.pictures import in_rows, save_tiles
from harness.trial.run import restored
from harness.trial.task import WEIGHTS
from harness.zoo.data.pixels import as_floats, to_uint8
from harness.zoo.models.base import in_float32
from harness.zoo.registry import ChoiceError, choose

if TYPE_CHECKING:
    from harness.store.record import Record
    from harness.zoo.models.base import Model

SAMPLES = "samples"
"""The folder of the images; nothing else lies in it, because programs that compute FID read all that does."""


def sample(record: Record, n: int, out: Path, device: torch.device, by_class: bool = False, walk: bool = False) -> int:
    """Draw n images of a trial into ``out/samples/`` as PNG files, and a grid of the first ones into ``out/grid.png``.

    The images are those of the trial's evaluation, the first n of as many as one likes. Nothing is written if the
    trial cannot be sampled so.

    Args:
        record: a trial.
        n: the number of images.
        out: a folder that is not there yet, or is empty.
        device: where to compute.
        by_class: draw as many images of each class, each class in a folder of its own (``samples/3/``).
        walk: also write the model's paths through its latent space (``interpolation.png``, ``latent_walk.png``).

    Returns: the number of images that were written; with ``by_class`` a multiple of the classes, at least n.

    Raises:
        HarnessError: the trial cannot be sampled, or the folder has files.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HarnessError(f"{out} is not empty: name a new folder, so that no other images are among the samples")
    arm = arm_of(record)
    if arm.data.make().points:
        raise HarnessError(f"{record.arm} draws points, not images: samples/final.png of the trial shows them")
    with computing(arm, device):
        model = generator(record, device)
        rng = _latents(record, device)
        with in_float32(model), torch.no_grad():
            pictures = _walk(model, record, arm, device) if walk else {}
            of_any = (("", images) for images in _any(model, n, rng))
            parts = _of_classes(model, record, n, rng) if by_class else of_any
            written, first = _save(parts, out / SAMPLES)
    for name, tiles in pictures.items():
        save_tiles(tiles, out / f"{name}.png")
    save_tiles(_grid(first), out / "grid.png")
    return written


def draw(model: Model, record: Record, n: int, device: torch.device, label: int | None = None, part: int = 0) -> Tensor:
    """n samples (n, channels, height, width) in [-1, 1], on the CPU.

    Args:
        model: the ``generator`` of the trial.
        record: the trial.
        n: the number of samples.
        device: where the model is.
        label: draw this class.
        part: 0 for the images of the trial's evaluation, the first n of as many as one likes; any other whole number
            for others.

    Raises:
        HarnessError: a class is asked for, and the model draws no images of a given class, or has no such class.
    """
    return images_of(model, arm_of(record), n, _latents(record, device, part), label)


def images_of(model: Model, arm: Arm, n: int, rng: torch.Generator, label: int | None = None) -> Tensor:
    """n samples (n, channels, height, width) in [-1, 1], on the CPU, of any class or of one; see ``draw``."""
    with computing(arm, rng.device), in_float32(model), torch.no_grad():
        parts = _any(model, n, rng) if label is None else _of_class(model, _known(model, arm, label), n, rng)
        return torch.cat([torch.zeros(0, *model.shape[:3]), *(images.cpu() for images in parts)])


def _known(model: Model, arm: Arm, label: int) -> int:
    """The label of a class that the model draws on demand."""
    present = _classes(model, arm.name, "a label")
    if label not in present:
        raise HarnessError(f"{arm.name} has no class {label}: its classes are {', '.join(map(str, present))}")
    return label


def _latents(record: Record, device: torch.device, part: int = 0) -> torch.Generator:
    """The random numbers of the trial's evaluation, or (``part`` not 0) others."""
    seed = sampling_seed(record.seed)
    return torch.Generator(device).manual_seed(derived(seed, f"part {part}") if part else seed)


def generator(record: Record, device: torch.device) -> Model:
    """The model of a finished trial, as far as sampling needs it.

    Raises:
        HarnessError: the trial has published no weights, or they do not fit its settings.
    """
    path = record.weights
    if not record.done or path is None or not path.is_file():
        why = f"it is {record.state}" if not record.done else f"its file {WEIGHTS} is not at hand ({path})"
        raise HarnessError(f"{record.arm}, seed {record.seed}, cannot be sampled: {why}")
    arm = arm_of(record)
    data = arm.data.make()
    return restored(arm, record.seed, device, data.shape, on_device(data.load("train"), device), path)


def arm_of(record: Record) -> Arm:
    """The arm of a trial, read from the settings that it kept.

    Raises:
        HarnessError: they are missing, or this harness does not know them (a plug-in is not installed).
    """
    config = record.read("config.json")
    if not config:
        raise HarnessError(f"{record.arm}, seed {record.seed}: its file config.json is not at hand")
    return arm_with(config, f"{record.arm}, seed {record.seed}", record.arm)


def arm_with(config: Mapping[str, Any], whose: str, name: str = "") -> Arm:
    """The arm with the settings of a trial's ``config.json``.

    Raises:
        HarnessError: a part is missing, or this harness does not know it. ``whose`` is what the message begins with.
    """
    try:
        return Arm(
            name=name,
            model=choose("models", config["model"]),
            tricks=tuple(choose("tricks", trick) for trick in config["tricks"]),
            data=choose("data", config["data"]),
            train=Train.model_validate(config["train"]),
            evaluate=Evaluate.model_validate(config["evaluate"]),
        )
    except KeyError as error:
        raise HarnessError(f"{whose}: the settings have no {error}: restore a copy of config.json") from error
    except (ChoiceError, ValueError) as error:
        raise HarnessError(
            f"{whose}, has settings that this harness does not know ({error}): install the plug-in or the version that "
            "trained it"
        ) from error


def _any(model: Model, n: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Images (n, channels, height, width) in [-1, 1], part by part, as an evaluation draws them."""
    for begin in range(0, n, GENERATION_BATCH):
        yield model.sample(min(GENERATION_BATCH, n - begin), rng)


def _of_class(model: Model, label: int, n: int, rng: torch.Generator) -> Iterator[Tensor]:
    """The same of one class; only of a model that is conditional."""
    for begin in range(0, n, GENERATION_BATCH):
        labels = torch.full((min(GENERATION_BATCH, n - begin),), label, device=model.training.labels.device)
        yield model.sample_classes(labels, rng)


def _of_classes(model: Model, record: Record, n: int, rng: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """As many images of each class, part by part, with the class as the name of their folder."""
    present = _classes(model, record.arm, "--by-class")
    for label in present:
        yield from ((str(label), images) for images in _of_class(model, label, -(-n // len(present)), rng))


def _classes(model: Model, arm: str, asked: str) -> list[int]:
    """The classes that the model draws on demand.

    Raises:
        HarnessError: it draws none.
    """
    if "conditional" not in model.capabilities(model.settings):
        raise HarnessError(f"{asked}: the model of {arm} draws no images of a given class")
    return [int(label) for label in model.training.labels.bincount().nonzero()[:, 0]]


def _walk(model: Model, record: Record, arm: Arm, device: torch.device) -> Mapping[str, Tensor]:
    """The model's paths through its latent space."""
    real = as_floats(arm.data.make().load("test").images[: GRID * GRID].to(device))
    rng = _latents(record, device)
    found = {name: tiles for name, tiles in model.pictures(real, rng).items() if name in PATHS}
    if not found:
        raise HarnessError(f"--walk: the model of {record.arm} has no latent space to walk through")
    return found


PATHS = ("interpolation", "latent_walk")
"""The pictures of a model that are paths through its latent space."""


def _save(parts: Iterator[tuple[str, Tensor]], folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Write images as PNG files, numbered in each folder.

    Returns: their number, and the first images of each folder.
    """
    from PIL import Image

    first: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for name, images in parts:
        into = folder / name
        into.mkdir(parents=True, exist_ok=True)
        first[name] = torch.cat([*([first[name]] if name in first else []), images])[: GRID * GRID]
        for pixels in to_uint8(images).cpu().permute(0, 2, 3, 1).numpy():
            number = counts[name] = counts.get(name, 0) + 1
            shown: Any = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
            Image.fromarray(shown).save(into / f"{number - 1:06d}.png")
    return sum(counts.values()), first


def _grid(first: Mapping[str, Tensor]) -> Tensor:
    """Tiles (rows, columns, channels, height, width): a row for each class, or a square of the first images."""
    parts = list(first.values())
    if len(parts) > 1:
        width = min(GRID, *map(len, parts))
        return torch.stack([images[:width] for images in parts])
    return in_rows(parts[0], GRID)
