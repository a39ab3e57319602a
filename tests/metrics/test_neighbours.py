"""Nearest neighbours: those of exact distances, and torch-fidelity's values, whatever the block, ties and copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from harness.judge.points import Points
from harness.metrics import fidelity, neighbours
from harness.metrics.images import Images
from harness.zoo import registry


def rows(seed: int, n: int, kind: str) -> Tensor:
    """Rows (n, 20) of a kind that is easy or hard to tell apart."""
    rng = torch.Generator().manual_seed(seed)
    found = torch.randn(n, 20, generator=rng)
    if kind == "far":  # the mean is 10 000 times the spread: float32 products alone would be noise
        return 1e4 + found
    if kind == "copies":  # each row several times, and rows of both sets alike
        return torch.randn(40, 20, generator=torch.Generator().manual_seed(9))[torch.randint(40, (n,), generator=rng)]
    if kind == "ties":  # whole numbers: many equal distances
        return torch.randint(0, 3, (n, 20), generator=rng).float()
    if kind == "outlier":
        return torch.cat([found[:-1], 1e5 * found[-1:]])
    return found


def exact(one: Tensor, other: Tensor) -> Tensor:
    return (one.double()[:, None] - other.double()).square().sum(-1).sqrt()


KINDS = ("near", "far", "copies", "ties", "outlier")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("held", [2**21, 2_000])  # one block; blocks of 9 rows, the last of 7
def test_all_is_as_by_exact_distances(kind: str, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "HELD", held)
    one, other = rows(0, 151, kind), rows(1, 220, kind)
    between = exact(one, other)
    assert torch.equal(neighbours.nearest(one, other, 7), between.sort(1).values[:, :7])
    own, others = neighbours.radii(one, 3), neighbours.radii(other, 5)
    assert torch.equal(own, exact(one, one).sort(1).values[:, 1:4])
    assert torch.equal(neighbours.nearest(other, other, 220), exact(other, other).sort(1).values)
    pairs = [(own[:, 2], others[:, 2]), (own[:, 0], others[:, 4])]
    for found, (small, large) in zip(neighbours.balls(one, other, pairs), pairs, strict=True):
        assert torch.equal(found.around, (between <= large).sum(1).float())
        assert torch.equal(found.filled, (between <= large).any(0))
        assert torch.equal(found.inside, (between <= small[:, None]).any(0))
        assert torch.equal(neighbours.held(one, other, large), found.around)


def test_the_smallest_of_groups_are_the_smallest() -> None:
    values = torch.randint(0, 400, (60, 403), generator=torch.Generator().manual_seed(0)).float()
    for k in (1, 5, 12, 200, 403):
        columns, largest = neighbours._smallest(values, k)
        assert torch.equal(values.gather(1, columns).sort(1).values, values.sort(1).values[:, :k])
        assert all(len(set(found)) == k for found in columns.tolist())
        assert torch.equal(largest, values.sort(1).values[:, k - 1])


def test_edges_belong_to_balls_of_copies() -> None:
    # Each row of a copied set lies in the balls of which it is the third neighbour, and just so.
    features = rows(3, 300, "near")
    reach = neighbours.radii(features, 3)[:, 2]
    [found] = neighbours.balls(features.clone(), features, [(reach, reach)])
    assert float(found.around.mean()) == 4  # itself and three
    assert bool(found.filled.all() and found.inside.all())


def images(features: Tensor) -> Images:
    return Images(features[:, :, None, None], Points(), None)


@pytest.mark.parametrize("kind", ["near", "copies", "ties"])
def test_precision_and_recall_are_those_of_torch_fidelity(kind: str) -> None:
    one, other = rows(0, 731, kind) * 1.1, rows(1, 500, kind)
    found = registry.choose("metrics", "precision_recall").make().compute(images(one), images(other))
    # Theirs in float64: in float32, cdist gives copies a distance, and radii of 0 with it.
    theirs = prc_features_to_metric(
        one.double(), other.double(), prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    assert found["precision"] == pytest.approx(theirs[KEY_METRIC_PRECISION], abs=1e-6)
    assert found["recall"] == pytest.approx(theirs[KEY_METRIC_RECALL], abs=1e-6)


@pytest.mark.parametrize("size", [100, 251, 500])
def test_the_kernel_distance_is_that_of_torch_fidelity(size: int) -> None:
    one, other = 0.3 + rows(0, 731, "near"), rows(1, 500, "near")
    choice = registry.choose("metrics", {"name": "kid", "subsets": 10, "subset_size": size})
    found = choice.make().compute(images(one), images(other))["kid"]
    theirs = kid_features_to_metric(
        one.double(), other.double(), kid_subsets=10, kid_subset_size=size, rng_seed=2020, verbose=False
    )
    assert found == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-5)


def test_sums_of_the_kernel_by_hand() -> None:
    one, other = np.arange(12.0).reshape(6, 2) / 5, np.arange(6.0).reshape(3, 2) / 4
    sums = [sum((x @ y / 2 + 1) ** 3 for y in other for x in one)]
    sums.append(sum((one[i] @ one[j] / 2 + 1) ** 3 for i in range(6) for j in range(6) if i != j))
    for rows_at_once in (250, 4, 1):
        fidelity_rows, fidelity.ROWS = fidelity.ROWS, rows_at_once
        try:
            first, second = torch.tensor(one).float(), torch.tensor(other).float()
            assert [fidelity.kernel_sum(first, second), fidelity.kernel_sum(first)] == pytest.approx(sums)
        finally:
            fidelity.ROWS = fidelity_rows


def test_the_reference_is_summed_once_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = registry.choose("metrics", {"name": "kid", "subsets": 10, "subset_size": 50}).make()
    reference, alone = images(rows(1, 100, "near")), []
    original = fidelity.kernel_sum
    monkeypatch.setattr(
        fidelity, "kernel_sum", lambda one, other=None: (alone.append(other is None), original(one, other))[1]
    )
    for seed in (2, 3):
        metric.compute(images(rows(seed, 100, "near")), reference)
    assert sum(alone) == 3 * 10  # the subsets of the reference, and those of the samples twice
