"""Gradient penalties on toy critics, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from harness.zoo import penalties

IMAGES = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64).view(2, 2, 1, 1)


def linear(images: torch.Tensor) -> torch.Tensor:
    """C(x) = 3 x₁ + 4 x₂: its slope is (3, 4) everywhere, of length 5."""
    return images.flatten(1) @ torch.tensor([3.0, 4.0], dtype=images.dtype)


def square(images: torch.Tensor) -> torch.Tensor:
    """C(x) = ‖x‖²: its slope is 2 x."""
    return images.flatten(1).square().sum(1)


def test_zero_centred() -> None:
    assert float(penalties.zero_centred(linear, IMAGES)) == 25
    # mean of 4 (1 + 4) and 4 (9 + 1)
    assert float(penalties.zero_centred(square, IMAGES)) == 30


def test_one_centred() -> None:
    assert float(penalties.one_centred(linear, IMAGES)) == pytest.approx(16)  # (5 − 1)²
    # mean of (√20 − 1)² and (√40 − 1)²
    assert float(penalties.one_centred(square, IMAGES)) == pytest.approx(((20**0.5 - 1) ** 2 + (40**0.5 - 1) ** 2) / 2)


def test_the_slope_of_an_image_is_taken_over_all_its_pixels_and_channels() -> None:
    # Two channels of 1 × 2 pixels, C(x) = Σ x: the slope is 1 in each of four pixels, its length 2.
    images = torch.zeros(3, 2, 1, 2)
    assert penalties.input_gradients(lambda seen: seen.flatten(1).sum(1), images).shape == (3, 4)
    assert float(penalties.zero_centred(lambda seen: seen.flatten(1).sum(1), images)) == 4
    assert float(penalties.one_centred(lambda seen: seen.flatten(1).sum(1), images)) == pytest.approx(1)


def test_the_penalty_can_be_descended() -> None:
    # (|w| − 1)² for C(x) = w x: its derivative at w = 3 is 2 (3 − 1)
    weight = torch.tensor(3.0, requires_grad=True)
    penalties.one_centred(lambda images: weight * images.flatten(1).sum(1), torch.ones(4, 1, 1, 1)).backward()
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx(4)


def test_a_slope_of_zero_has_a_finite_derivative() -> None:
    weight = torch.tensor(0.0, requires_grad=True)
    penalties.one_centred(lambda images: weight * images.flatten(1).sum(1), torch.ones(4, 1, 1, 1)).backward()
    assert weight.grad is not None
    assert weight.grad.isfinite()


def test_interpolates_lie_between_their_pair_one_share_an_image() -> None:
    real, fake = torch.zeros(500, 1, 2, 2), torch.ones(500, 1, 2, 2)
    between = penalties.interpolated(real, fake, torch.Generator().manual_seed(0)).flatten(1)
    assert (between == between[:, :1]).all()
    assert 0 <= between.min() < 0.02 < 0.98 < between.max() <= 1
    assert float(between.mean()) == pytest.approx(0.5, abs=0.05)


def draws(monkeypatch: pytest.MonkeyPatch, *values: float | list[float]) -> list[tuple[int, ...]]:
    """Let torch.rand give these, each spread over the shape that is asked for; the list is of these shapes."""
    shapes, left = list[tuple[int, ...]](), iter(values)

    def rand(*shape: int | torch.Size, device: torch.device, generator: torch.Generator) -> torch.Tensor:
        size = torch.Size(shape[0] if isinstance(shape[0], torch.Size) else shape)  # type: ignore[arg-type]
        shapes.append(tuple(size))
        value = torch.tensor(next(left), dtype=torch.float64)
        return value.reshape(-1, *(1 for _ in size[1:])).expand(size)

    monkeypatch.setattr(torch, "rand", rand)
    return shapes


def test_interpolates_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = torch.tensor([2.0, -1.0]).view(2, 1, 1, 1), torch.tensor([10.0, 3.0]).view(2, 1, 1, 1)
    shapes = draws(monkeypatch, [0.25, 0.5])
    # ¼ · 2 + ¾ · 10 = 8; ½ · (−1) + ½ · 3 = 1
    assert penalties.interpolated(real, fake, torch.Generator()).flatten().tolist() == [8, 1]
    assert shapes == [(2, 1, 1, 1)]


def test_perturbed_data_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.tensor([1.0, 3.0, 2.0, 6.0], dtype=torch.float64).view(2, 1, 1, 2)
    shapes = draws(monkeypatch, [0.5, 0.25], [0.4, 0.8])
    # The mean is 3, the variance (4 + 0 + 1 + 9) / 3 = 14/3. Noise ½ and ¼, shares .4 and .8: both images move by
    # .4 · ½ · ½ = .8 · ½ · ¼ = .1 standard deviations.
    moved = penalties.perturbed(real, torch.Generator()) - real
    assert moved.flatten().tolist() == pytest.approx([0.1 * (14 / 3) ** 0.5] * 4)
    assert shapes == [(2, 1, 1, 2), (2, 1, 1, 1)]  # the noise is of every pixel, the share of every image


def test_perturbed_data_move_by_a_share_an_image_of_up_to_half_a_standard_deviation() -> None:
    real = torch.randn(2000, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    moved = (penalties.perturbed(real, torch.Generator().manual_seed(0)) - real).flatten(1) / real.std()
    assert moved.min() >= 0
    assert moved.max() == pytest.approx(0.5, abs=0.01)
    assert float(moved.mean()) == pytest.approx(0.125, abs=0.005)  # E[α] · ½ E[U]
    shares = moved.mean(1) / 0.25
    assert shares.min() < 0.05
    assert shares.max() > 0.95
