"""The contracts can fail: plug-ins that break them do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.testing import TrickContract
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
