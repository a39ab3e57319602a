"""The Inception network of torch-fidelity as an extractor of features, for values comparable with the literature."""

from __future__ import annotations

import os
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.base import digests
from harness.base.errors import HarnessError
from harness.zoo.data.downloads import bring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of the file; its name has the first digits."""


class Inception:
    """2048 features and 1008 logits of the network of Szegedy et al. 2015, as torch-fidelity converted it.

    The weights (91 MB) come from the file that ``HARNESS_INCEPTION`` names, else from torch's hub folder, else from
    torch-fidelity's release page.

    Raises:
        HarnessError: the weights cannot be found or downloaded, or the file is not the released one.
    """

    name = "inception"
    digest = SHA256[:8]

    def __init__(self, device: torch.device, batch_size: int = 64) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = weights_file()
        with _tensors_only():
            network = FeatureExtractorInceptionV3(self.name, ["2048", "logits_unbiased"], str(path))
        self.network = network.to(device).eval()
        self.device = device
        self.batch_size = batch_size

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (n, 1 or 3, h, w) -> features (n, 2048) and logits (n, 1008); one channel is repeated."""
        batches = (batch.to(self.device).expand(-1, 3, -1, -1) for batch in torch.split(images, self.batch_size))
        with torch.inference_mode():
            parts = [self.network(batch) for batch in batches]
        features, logits = (torch.cat([part[i].float().cpu() for part in parts]) for i in range(2))
        return features, logits


def weights_file(instead: str = "another `evaluate.features`") -> Path:
    """The path of the weights, verified by digest. Downloads them if they are missing.

    Args:
        instead: for the message if they cannot be downloaded: what can be used in their place.
    """
    given = os.environ.get("HARNESS_INCEPTION")
    path = Path(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        if given:
            raise HarnessError(f"HARNESS_INCEPTION names {path}, which is not a file: expected {FILE}")
        _download(path, instead)
    _verify(path)
    return path


def _verify(path: Path) -> None:
    if digests.of_file(path) != SHA256:
        raise HarnessError(
            f"{path}: not the Inception weights of torch-fidelity's release (its SHA-256 should be {SHA256}): "
            "delete the file and fetch it again"
        )


def _download(path: Path, instead: str) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bring(URL_INCEPTION_V3, path, _verify)
    except (OSError, HTTPException, HarnessError) as error:
        raise HarnessError(
            f"features of the Inception network need {FILE} (91 MB): it is not at {path}, and the download failed "
            f"({error}). Download it on another machine from {URL_INCEPTION_V3} and set HARNESS_INCEPTION to its path, "
            f"or use {instead}"
        ) from error


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Make torch load only tensors: torch-fidelity would unpickle its weights file with arbitrary code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
