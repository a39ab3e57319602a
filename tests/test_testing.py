"""The contracts can fail: plug-ins that break them do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.metrics.base import Metric, Value
from harness.metrics.images import Images, Reference
from harness.testing import MetricContract, TrickContract
from harness.zoo import registry
from harness.zoo.registry import Entry
from harness.zoo.tricks.base import Trick


class Idle(Trick):
    """Overrides a hook, and changes nothing."""

    name = "idle"
    summary = "nothing"
    paper = "nobody"
    requires = frozenset({"discriminator"})

    def discriminator_input(self, images: torch.Tensor, game: Any) -> torch.Tensor:
        return images


def test_a_trick_that_does_nothing_breaks_its_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._scan("tricks"), "idle", Entry("tricks", "idle", "nothing", "nobody", Idle))
    with pytest.raises(AssertionError):
        TrickContract().test_changes_something("idle")
    TrickContract().test_changes_something("instance_noise")  # changes the input, and little


class Variety(Metric):
    """The number of grey levels, of which noise has most."""

    name = "variety"
    summary = "how many grey levels there are"
    values = {"levels": Value("Levels", "higher", "the number of grey levels")}

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        return {"levels": float(len(samples.pixels.unique()))}


@pytest.mark.parametrize(
    ("excused", "outcome"),
    [
        ({}, AssertionError),
        ({"lavels": "a column that it does not have"}, AssertionError),
        ({"levels": "noise has all grey levels"}, pytest.skip.Exception),
    ],
)
def test_a_metric_that_prefers_noise_breaks_its_contract_unless_it_says_why(
    monkeypatch: pytest.MonkeyPatch, excused: dict[str, str], outcome: type[BaseException]
) -> None:
    monkeypatch.setitem(registry._scan("metrics"), "variety", Entry("metrics", "variety", "levels", "", Variety))
    monkeypatch.setattr(Variety, "noise_is_not_worse", excused)
    with pytest.raises(outcome):
        MetricContract().test_real_digits_score_better_than_noise("variety")
