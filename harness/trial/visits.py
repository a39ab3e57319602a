"""Which classes the snapshots of a trial show: each of them, and all of them together. They change no number.

A generator that has collapsed may run from one output to the next (Metz et al. 2017, figure 2): whenever one looks, it
draws one class or two, and over time it has drawn all of them. One evaluation at the end cannot tell that from a
generator that stays where it is.

Every image of a snapshot counts for its most likely class, however bad it is: a collapsed generator draws few images
that the judge would accept. The number of classes is the effective one, exp(entropy of their shares): n for n equally
frequent classes. Of 64 images of ten equally frequent classes it is 9.3 on average.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from harness.trial.pictures import untiled
from harness.trial.task import AT_ONCE, VISITED

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from harness.judge.judge import Judge
    from harness.suite import Evaluate
    from harness.zoo.data.base import DataSet

FEWEST = 4
"""Images of a snapshot for each class of the data: with fewer, most classes would be missing by chance."""


class Visits:
    """Reads the snapshots of one trial, in their order.

    Args:
        judge: what tells the classes.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._shares = torch.zeros(judge.classes, dtype=torch.float64)
        """The sum of the class shares of all snapshots so far."""

    def read(self, path: Path, step: int) -> list[tuple[str, int, float]]:
        """The points of both curves at this step; none for the snapshot of the untrained generator.

        Args:
            path: the grid, a PNG of images of the judge's shape in rows.
            step: after how many steps it was drawn.
        """
        if step == 0:
            return []
        probabilities, _ = self.judge.assess(untiled(path, self.judge.shape))
        counts = torch.bincount(probabilities.argmax(1).cpu(), minlength=self.judge.classes).double()
        own = counts / counts.sum()
        self._shares += own
        return [(AT_ONCE, step, effective(own)), (VISITED, step, effective(self._shares / self._shares.sum()))]


def of(evaluate: Evaluate, data: DataSet, images: int, device: torch.device) -> Visits | None:
    """The reader of the snapshots of a trial; None if no metric asks for a judge, or there are too many classes.

    Args:
        evaluate: the metrics of the trial.
        data: its data set.
        images: how many images a snapshot has.
        device: where the judge computes. Torch's random states are the same afterwards as before.
    """
    from harness import judge

    name = judge.of(data) if any(metric.plugin.needs_judge for metric in evaluate.metrics) else None
    # The judge of stacked digits tells 1000 combinations of classes. A grid shows one channel or three.
    if name is None or judge.image_shape(name) != tuple(data.shape[:3]) or data.shape[0] not in (1, 3):
        return None
    loaded = _judge(name, judge.digest(name), device)
    return Visits(loaded) if 1 < loaded.classes <= images // FEWEST else None


@functools.lru_cache(maxsize=1)
def _judge(name: str, _digest: str, device: torch.device) -> Judge:
    """The judge of this name, once for all trials of a worker as long as its weights stay the same."""
    from harness import judge
    from harness.trial.evaluation import untouched_randomness

    with untouched_randomness(device):
        return judge.load(name, device)


def effective(shares: Tensor) -> float:
    """exp(entropy) of shares (classes,) that sum to 1: the number of equally frequent classes with that entropy."""
    return float(torch.special.entr(shares).sum().exp())
