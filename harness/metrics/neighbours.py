"""Nearest neighbours between two sets of features, in blocks, so that no N×N matrix is in memory.

Products in float32 say what is far and what is near. Where their rounding could decide, the rows themselves do, in
float64. So every result is that of exact distances, whatever the size of a block and the device, and a copy is at
distance 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

HELD = 2**21
"""The number of distances in memory at once: in float32 they stay in the cache of a processor."""
SPARE = 3
"""Rows that are measured exactly beside the k nearest: with fewer, more rows are looked at again."""
GROUP = 16
"""Rows of a group in the search for the smallest values. 10 000 × 10 000: .05 s; .26 s without groups (one core)."""
EDGE = 1 + 1e-12
"""Balls are closed. Two ways of summing one distance differ by less than this factor."""


class Balls(NamedTuple):
    """What the balls around the rows of two sets hold: n rows of one, m rows of the other.

    Attributes:
        around: how many balls of the other set hold each row of the first, (n,), float32.
        filled: whether the ball of each row of the other set holds a row of the first, (m,).
        inside: whether each row of the other set lies in a ball of the first, (m,).
    """

    around: Tensor
    filled: Tensor
    inside: Tensor


def distances(one: Tensor, other: Tensor) -> Iterator[Tensor]:
    """Euclidean distances (rows of a block, len(other)), float64, for all rows of ``one`` (n, d) in order.

    The distance of equal rows is exactly 0: below a millionth of the rows' length there are only rounding errors.
    """
    far = other.double()
    lengths = far.norm(dim=1)
    for block in torch.split(one.double(), max(1, HELD // len(far))):
        found = torch.cdist(block, far)
        yield found.masked_fill_(found < 1e-6 * lengths, 0)


def nearest(one: Tensor, other: Tensor, k: int = 1) -> Tensor:
    """The distances (n, k) of each row of ``one`` (n, d) to its k nearest rows of ``other`` (m, d), k at most m.

    float64, the nearest first.
    """
    pair = _Pair(one, other)
    found = one.new_empty(len(one), k, dtype=torch.float64)
    for rows, squares in pair.blocks():
        columns, last = _smallest(squares, min(k + SPARE, len(other)))
        found[rows] = _distance(one[rows][:, None], other[columns]).sort(1).values[:, :k]
        # What was left out is at least as far as the last that was kept. Nothing is nearer than 0.
        farthest, slack = found[rows][:, -1], pair.slack_of_rows(rows)
        unsure = (farthest.square() >= last - slack) & (farthest > 0)
        for row in unsure.nonzero()[:, 0].tolist() if columns.shape[1] < len(other) else ():
            near = other[squares[row] <= farthest[row].square() + slack[row]]
            found[rows.start + row] = _distance(one[rows.start + row], near).topk(k, largest=False).values
    return found


def radii(features: Tensor, k: int) -> Tensor:
    """The distances (n, k) of each row (n, d) to its k nearest among the other rows, k < n; float64, nearest first."""
    return nearest(features, features, k + 1)[:, 1:]  # the nearest row of each row is itself


def held(one: Tensor, other: Tensor, reach: Tensor) -> Tensor:
    """How many balls of radii ``reach`` (m,) around rows of ``other`` (m, d) hold each row of ``one``; float32 (n,)."""
    pair = _Pair(one, other)
    return torch.cat([pair.held(rows, squares, reach * EDGE) for rows, squares in pair.blocks()])


def balls(one: Tensor, other: Tensor, reaches: Sequence[tuple[Tensor, Tensor]]) -> list[Balls]:
    """What balls hold, for each pair of radii: around rows of ``one`` (n,) and around rows of ``other`` (m,), float64.

    One pass over the pairs of rows serves all.
    """
    pair = _Pair(one, other)
    around: list[list[Tensor]] = [[] for _ in reaches]
    # How far the other rows are, squared, from the nearest row of one, and from the nearest edge of its balls.
    far = one.new_full((len(other),), torch.inf, dtype=torch.float32)
    outside = [far.clone() for _ in reaches]
    for rows, squares in pair.blocks():
        far = torch.minimum(far, squares.amin(0))
        for place, (own, others) in enumerate(reaches):
            around[place].append(pair.held(rows, squares, others * EDGE))
            outside[place] = torch.minimum(outside[place], pair.beyond(squares, own[rows]))
    slack = pair.slack_of_others()

    def answer(place: int, own: Tensor, others: Tensor) -> Balls:
        def filled(at: Tensor) -> Tensor:
            return nearest(other[at], one)[:, 0] <= others[at] * EDGE

        def inside(at: Tensor) -> Tensor:
            return held(other[at], one, own) > 0

        return Balls(
            torch.cat(around[place]),
            _decided(far - others.square(), slack, filled),
            _decided(outside[place], slack, inside),
        )

    return [answer(place, *reach) for place, reach in enumerate(reaches)]


class _Pair:
    """Two sets of rows, prepared for blocks of squared distances in float32."""

    def __init__(self, one: Tensor, other: Tensor) -> None:
        self.one, self.other = one, other
        centre = other.double().mean(0)  # distances stay as they are, and roundings become smaller
        rows, others = ((features.double() - centre).float() for features in (one, other))
        self._lengths, self._far = (part.square().sum(1) for part in (rows, others))
        self._ones = torch.ones_like(self._far)
        # One product gives |x|² − 2 x·y + |y|².
        self._rows = torch.cat([-2 * rows, self._lengths[:, None], torch.ones_like(self._lengths)[:, None]], 1)
        self._others = torch.cat([others, self._ones[:, None], self._far[:, None]], 1).T
        self._size = max(1, min(len(one), HELD // len(other)))
        self._products, self._scratch = rows.new_empty(2, self._size, len(other)).unbind()
        self._rounding = (one.shape[1] + 10) * 2.0**-22
        """The bound of the error of a squared distance, a sum of so many products, as a share of both lengths."""

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows of the first set, and their squared distances (rows, m), float32; valid until the next."""
        for start in range(0, len(self.one), self._size):
            rows = slice(start, min(start + self._size, len(self.one)))
            yield rows, torch.mm(self._rows[rows], self._others, out=self._products[: rows.stop - start])

    def slack_of_rows(self, rows: slice) -> Tensor:
        """What a squared distance of each of these rows may be off by, (rows,)."""
        return self._rounding * (self._lengths[rows] + self._far.amax())

    def slack_of_others(self, rows: slice = slice(None)) -> Tensor:
        """What a squared distance of these rows to each row of the other set may be off by, (m,)."""
        return self._rounding * (self._far + self._lengths[rows].amax())

    def beyond(self, squares: Tensor, reach: Tensor) -> Tensor:
        """How far each other row is outside of the balls of these radii around a block's rows: squared, (m,)."""
        edges = reach.square().float()[:, None]
        return torch.sub(squares, edges, out=self._scratch[: len(squares)]).amin(0)

    def held(self, rows: slice, squares: Tensor, reach: Tensor) -> Tensor:
        """How many balls of these radii (m,) around the other rows hold each row of a block, (rows,), float32."""
        slack, edges, scratch = self.slack_of_others(rows), reach.square().float(), self._scratch[: len(squares)]
        sure = torch.mv(torch.le(squares, edges - slack, out=scratch), self._ones)
        possible = torch.mv(torch.le(squares, edges + slack, out=scratch), self._ones)
        unsure = (sure != possible).nonzero()[:, 0]
        row, column = ((squares[unsure] - edges).abs() <= slack).nonzero(as_tuple=True)
        row = unsure[row]
        for part in torch.split(torch.arange(len(row), device=row.device), max(1, HELD // self.one.shape[1])):
            near, far = self.one[rows.start + row[part]], column[part]
            sure.index_add_(0, row[part], (_distance(near, self.other[far]) <= reach[far]).float())
        return sure


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """The exact distances of rows (…, d) to rows (…, d); float64."""
    return (one.double() - other.double()).square().sum(-1).sqrt()


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The columns (rows, k) of the k smallest values of each row, in no order, and the largest of these values (rows,).

    They are in the k groups with the smallest least value. Groups are taken with a stride, so the tail has its own.
    """
    width = values.shape[1]
    size = max(1, min(GROUP, width // (2 * k)))
    groups = width // size
    whole, tail = values[:, : groups * size], torch.arange(groups * size, width, device=values.device)
    if size == 1:
        found = values.topk(k, largest=False, sorted=False)
        return found.indices, found.values.amax(1)
    best = whole.view(len(values), size, groups).amin(1).topk(k, largest=False, sorted=False).indices
    members = best[:, :, None] + groups * torch.arange(size, device=values.device)
    columns = torch.cat([members.flatten(1), tail.expand(len(values), -1)], 1)
    found = values.gather(1, columns).topk(k, largest=False, sorted=False)
    return columns.gather(1, found.indices), found.values.amax(1)


def _decided(beyond: Tensor, slack: Tensor, exactly: Callable[[Tensor], Tensor]) -> Tensor:
    """Whether squared gaps (m,) are at most 0; ``exactly`` decides at the places where rounding could."""
    found, unsure = beyond <= 0, (beyond.abs() <= slack).nonzero()[:, 0]
    if len(unsure):
        found[unsure] = exactly(unsure)
    return found
