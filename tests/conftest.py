"""Tests that need what a machine may lack are skipped by name, never silently passed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import Chaos
from harness_cli import Workspace
from programs import has_browser

from harness.base import surroundings

# Before torch is imported, here and in every process that a test starts: tests run side by side, and threads of one
# that wait for each other on busy cores make it many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imported before any module of the harness that uses it: the stand-in that such a module has until then copies torch's
# functions when it is first used, and would not see those that a test puts in their place.
import torch

# In the background of a script it is ignored, and so it would be by all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
    return torch.cuda.is_available()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "tests marked chaos; benchmarks/chaos.py sets these")
    group.addoption("--chaos-seed", type=int, default=0, help="what the tests choose by")
    group.addoption("--chaos-record", type=Path, help="file where they say what they tried")
    group.addoption("--chaos-until", type=float, help="begin none after this time (seconds since the epoch)")
    group = parser.getgroup("browser", "tests marked browser; `nox -s browser` sets this")
    group.addoption("--screenshots", type=Path, help="folder where they keep their screenshots")


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """The seed of this round, and where to say what was tried."""
    options = request.config.option
    return Chaos(request.node.name, options.chaos_seed, options.chaos_record)


def pytest_runtest_setup(item: pytest.Item) -> None:
    until = item.config.option.chaos_until
    if until is not None and time.time() > until:
        pytest.skip("the time is over")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.chaos_until is not None:  # a short session, too, comes to every test in some round
        random.Random(config.option.chaos_seed).shuffle(items)
    needs = {
        "mnist": (has_mnist, "needs MNIST: set HARNESS_DATA to the folder that holds it"),
        "gpu": (has_gpu, "needs a CUDA device"),
        "browser": (has_browser, "needs Chromium and playwright: `nox -s browser` says how to get them"),
    }
    for marker, (there, reason) in needs.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not there():
            if marker == "gpu" and os.environ.get("HARNESS_REQUIRE_GPU"):
                pytest.exit("nox -s gpu: torch finds no CUDA device here", returncode=1)
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    """As the command line has it: tests call the store in their own process."""
    with surroundings.quiet():
        yield


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store with the four trials of the tiny suite, trained once for all files. Look at it, or copy it."""
    workspace = Workspace(tmp_path_factory.mktemp("tiny"))
    workspace.run("run", workspace.suite())
    return workspace


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test writes to the user's folders, or reads a setting of the user's but HARNESS_DATA."""
    for name in ("HARNESS_RESULTS", "MLFLOW_TRACKING_URI", "HARNESS_STORAGE", "HARNESS_LEASE", "HARNESS_INCEPTION"):
        monkeypatch.delenv(name, raising=False)
    if "HARNESS_CACHE" not in os.environ:
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
