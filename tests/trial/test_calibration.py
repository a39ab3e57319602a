"""Which number format ``precision: auto`` is on a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.trial import calibration, device
from harness.trial.calibration import bfloat16_share

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    bfloat16_share.cache_clear()
    return tmp_path / "calibration.json"


def counted(monkeypatch: pytest.MonkeyPatch, share: float = 0.5) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr(calibration, "_measured", lambda: (asked.append(share), share)[1])
    return asked


def test_it_is_measured_once_a_machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(monkeypatch)
    for _ in range(2):
        bfloat16_share.cache_clear()  # as another process has it
        assert bfloat16_share("a processor") == 0.5
    assert asked == [0.5]
    assert bfloat16_share("another processor") == 0.5
    assert len(asked) == 2
    assert sorted(json.loads(cache.read_text())) == [
        f"{name} processor, torch {torch.__version__}" for name in ("a", "another")
    ]


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', "{"])
def test_a_damaged_file_is_measured_again(cache: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    counted(monkeypatch)
    cache.write_text(content)
    assert bfloat16_share("a processor") == 0.5
    assert list(json.loads(cache.read_text()).values()) == [0.5]


def test_a_measurement_is_a_share_of_two_times(cache: Path) -> None:
    assert 0.01 < bfloat16_share("this one") < 100


@pytest.mark.parametrize(
    ("flags", "share", "expected"),
    [
        ("avx512f avx512_bf16", 0.5, torch.bfloat16),
        ("avx512f avx512_bf16", 1.9, torch.float32),  # the instructions are there, and slower
        ("avx512f", 0.5, torch.float32),
    ],
)
def test_auto_is_the_faster_format(
    monkeypatch: pytest.MonkeyPatch, flags: str, share: float, expected: torch.dtype
) -> None:
    monkeypatch.setattr(device, "cpu_facts", lambda: {"flags": flags, "model name": "a processor"})
    monkeypatch.setattr(device, "bfloat16_share", lambda processor: share)
    images = SimpleNamespace(make=lambda: SimpleNamespace(points=False))
    arm = SimpleNamespace(train=SimpleNamespace(precision="auto"), data=images)
    assert device.precision(arm, CPU) == expected  # type: ignore[arg-type]
