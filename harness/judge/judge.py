"""A loaded judge. It computes in float32, in inference mode, and changes no random state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from harness.base.errors import HarnessError
from harness.judge.catalogue import remedy
from harness.judge.networks import Size, folded, network

BATCH = 500
"""Images that pass through a network at once."""
CPU_BATCH = 100
"""The same on a CPU: layers this small stay in its cache. The three networks take .7 of the time of batches of 500."""


class Judge:
    """The three networks of a judge: features, shape and style.

    Attributes:
        name: the judge's name.
        digest: SHA-256 of its weights.
        shape: channels, height and width of its images.
        classes: the number of its classes.
        threshold: the calibrated score from which on it accepts that an image shows a class.
        style_threshold: the calibrated score from which on it accepts that pixels are those of the data.
    """

    def __init__(self, name: str, files: dict[str, Path], digest: str, device: Any) -> None:
        self.name = name
        self.digest = digest
        self.device = torch.device(device)
        tensors, numbers, architecture, size = read(files["features"], ("temperature",))
        self.shape = (size.channels, size.height, size.width)
        self.classes = len(tensors["head.bias"]) if "head.bias" in tensors else 1
        self._features = self._filled("features", architecture, size, tensors, files["features"])
        self._features_temperature = numbers["temperature"]
        tensors, numbers, architecture, size = read(files["shape"], ("temperature", "threshold"))
        self._shape = self._filled("shape", architecture, size, tensors, files["shape"])
        self._shape_temperature, self.threshold = numbers["temperature"], numbers["threshold"]
        tensors, numbers, architecture, size = read(files["style"], ("threshold",))
        self._style = self._filled("style", architecture, size, tensors, files["style"])
        self.style_threshold = numbers["threshold"]

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (n, c, h, w) -> features (n, 64 + 16 c + 3) and logits (n, classes), float32."""
        with torch.inference_mode():
            parts = [self._features(batch) for batch in self._batches(images)]
        features, logits = (torch.cat([part[i] for part in parts]) for i in range(2))
        return features, logits / self._features_temperature

    def assess(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (n, c, h, w) -> class probabilities (n, classes) and scores (n,), float32.

        The probabilities are conditional on the image showing a class. The score is the probability of the most
        likely class, where "none of them" is one of the outcomes.
        """
        with torch.inference_mode():
            parts = [self._shape(batch) for batch in self._batches(images)]
        logits = torch.cat(parts) / self._shape_temperature
        return logits[:, :-1].softmax(1), logits.softmax(1)[:, :-1].amax(1)

    def style(self, images: Tensor) -> Tensor:
        """uint8 images (n, c, h, w) -> scores (n,), float32: the higher, the more the pixels are like the data's."""
        with torch.inference_mode():
            parts = [self._style(batch) for batch in self._batches(images)]
        return torch.cat(parts)[:, 0]

    def _batches(self, images: Tensor) -> Iterator[Tensor]:
        for batch in torch.split(images, CPU_BATCH if self.device.type == "cpu" else BATCH):
            scaled = batch.to(self.device).float() / 255
            yield scaled.contiguous(memory_format=torch.channels_last)

    def _filled(self, role: str, architecture: str, size: Size, tensors: dict[str, Tensor], path: Path) -> nn.Module:
        filled = network(role, architecture, self.classes, size)
        try:
            filled.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise HarnessError(f"{path}: not the weights of a {type(filled).__name__}: {reason}") from error
        inferring = folded(filled.eval().requires_grad_(False)).to(self.device)
        return inferring.to(memory_format=torch.channels_last)


def read(path: Path, wanted: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, float], str, Size]:
    """The tensors of a safetensors file; from its header the wanted numbers, the architecture and the size.

    A header without a size, like that of the shipped judge, means 28×28 and one channel.

    Raises:
        HarnessError: the file is damaged, or a number is missing.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors, said = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
            size = Size(**{name: int(said[name]) for name in Size._fields if name in said})
            numbers = {name: float(said[name]) for name in wanted}
            return tensors, numbers, said.get("architecture", "plain"), size
    except (SafetensorError, OSError) as error:
        raise HarnessError(f"{path}: damaged or no safetensors file ({error}): {remedy(path)}") from error
    except (KeyError, ValueError) as error:
        raise HarnessError(f"{path}: its header lacks a number: {error} (expected {', '.join(wanted)})") from error
