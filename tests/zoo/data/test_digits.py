"""The embedded digits: fixed content, fixed split, in MNIST's form."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import digits
from harness.zoo.data.base import DataSet


@pytest.fixture
def data() -> DataSet:
    choice = registry.choose("data", "digits")
    made: DataSet = choice.make()
    return made


def test_the_digest_is_that_of_the_content(data: DataSet) -> None:
    images, labels = digits._table()
    content = images.tobytes() + labels.astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest() == data.digest()


def test_both_splits_hold_every_class_in_the_same_shares(data: DataSet) -> None:
    train, test = data.load("train"), data.load("test")
    assert len(train.labels) + len(test.labels) == 1797
    shares = [split.labels.bincount(minlength=10) / len(split.labels) for split in (train, test)]
    assert torch.allclose(*shares, atol=0.005)


def test_no_image_is_in_both_splits(data: DataSet) -> None:
    train, test = ({image.numpy().tobytes() for image in data.load(split).images} for split in ("train", "test"))
    assert not train & test


def test_ink_is_centred_on_a_black_ground(data: DataSet) -> None:
    images = data.load("train").images.double()
    places = torch.arange(28.0, dtype=torch.float64)
    ink = images.sum((1, 2, 3))
    for axis in (2, 3):
        centre = (images.sum((1, 5 - axis)) * places).sum(1) / ink
        assert (centre - 13.5).abs().max() <= 0.5 + 1e-9
    assert images[:, :, 0, 0].max() == 0
    assert images.max() == 255


def test_enlarging_keeps_the_picture(data: DataSet) -> None:
    # Shrunk back to 8×8 over the 20×20 that it covers, an image is much like its original.
    originals, _ = load_digits(return_X_y=True)
    blocks = originals[:50].reshape(-1, 8, 8).astype(np.int64)
    large = torch.tensor(digits._enlarge(blocks)).double()
    small = torch.nn.functional.adaptive_avg_pool2d(large[:, :, 4:24, 4:24], 8).flatten(1)
    wanted = torch.tensor(blocks).double().flatten(1)
    correlation = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(small, wanted, strict=True)])
    assert correlation.median() > 0.8


def test_other_content_is_refused(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "DIGEST", "0" * 64)
    digits._table.cache_clear()
    try:
        with pytest.raises(HarnessError, match="reinstall scikit-learn"):
            data.load("train")
    finally:
        digits._table.cache_clear()
