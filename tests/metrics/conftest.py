"""The real digits that samples are compared with."""

from __future__ import annotations

import pytest

from harness import judge
from harness.metrics.images import Reference
from harness.zoo import registry


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The test split of scikit-learn's digits, seen by the judge of MNIST."""
    arbiter, data = judge.load("mnist", "cpu"), registry.choose("data", "digits").make()
    training, test = data.load("train"), data.load("test")
    return Reference(test.images, arbiter, arbiter, test.labels, training, data)
