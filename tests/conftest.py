"""Tests that need what a machine may lack are skipped by name, never silently passed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported, here and in every process that a test starts: tests run side by side, and threads of one
# that wait for each other on busy cores make it many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def has_mnist() -> bool:
    """Whether HARNESS_DATA leads to MNIST."""
    folder = os.environ.get("HARNESS_DATA")
    return folder is not None and any(
        (Path(folder) / below / f"train-images-idx3-ubyte{ending}").is_file()
        for below in ("", "mnist")
        for ending in ("", ".gz")
    )


def has_gpu() -> bool:
    """Whether torch finds a CUDA device."""
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needs = {
        "mnist": (has_mnist, "needs MNIST: set HARNESS_DATA to the folder that holds it"),
        "gpu": (has_gpu, "needs a CUDA device"),
    }
    for marker, (there, reason) in needs.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not there():
            if marker == "gpu" and os.environ.get("HARNESS_REQUIRE_GPU"):
                pytest.exit("nox -s gpu: torch finds no CUDA device here", returncode=1)
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test writes to the user's folders, or reads a setting of the user's but HARNESS_DATA."""
    for name in ("HARNESS_RESULTS", "MLFLOW_TRACKING_URI", "HARNESS_INCEPTION"):
        monkeypatch.delenv(name, raising=False)
    if "HARNESS_CACHE" not in os.environ:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
