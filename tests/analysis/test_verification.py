"""`harness verify`: fresh seeds of published arms, reproduced, contradicted or neither."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_cli import Workspace

from harness.analysis.scales import Measure
from harness.analysis.verification import predicted

ARM, BASELINE = "gan + ema", "gan"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, tiny_store: Workspace) -> Workspace:
    """The tiny suite with a wide δ, published."""
    made = tiny_store.copy(tmp_path_factory.mktemp("verify"))
    suite = made.suite(compare={"baseline": {"tricks": []}, "metric": "sharpness", "delta": 100})
    made.run("run", suite)
    made.run("publish", suite)
    return made


def test_prediction_by_hand() -> None:
    # mean 2, sd 1, three values; t(2) at 97.5 % is 4.303; the mean of three more: ± 4.303 · √(1/3 + 1/3)
    low, high = predicted([1.0, 2.0, 3.0], 3, Measure())
    assert (low, high) == pytest.approx((2 - 4.30265 * math.sqrt(2 / 3), 2 + 4.30265 * math.sqrt(2 / 3)), rel=1e-5)
    assert predicted([1.0, 2.0, 3.0], 3, Measure(least=0.0))[0] == 0
    assert math.isnan(predicted([1.0], 3, Measure())[0])


def test_the_prediction_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = predicted(list(rng.normal(size=6)), 3, Measure())
        hits += low <= rng.normal(size=3).mean() <= high
    assert abs(hits / 2000 - 0.95) < 0.02


def test_fresh_seeds_that_agree_reproduce(published: Workspace) -> None:
    folder = published.folder / "site" / "published" / "tiny"
    output = published.run("verify", f"{folder}#{ARM}", "--workers", "1")
    assert output.splitlines()[-1] == "reproduced"
    assert f"{ARM}: Sharpness published" in output
    assert f"{BASELINE}: Sharpness published" in output
    assert "(3 seeds)" in output
    assert f"{ARM} against {BASELINE}: published no difference larger than δ, fresh no difference" in output
    # The store of the suite has no trial more.
    assert len(published.plan(published.folder / "tiny.yaml")["trials"]) == 4
    again = published.run("verify", f"{folder}#{ARM}", "--workers", "1")
    assert again.splitlines()[-3:] == output.splitlines()[-3:]


def far_away(folder: Path) -> None:
    """Publish other values of sharpness, as if another machine had measured them; without seals."""
    path = folder / "trials.jsonl.gz"
    lines: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    for number, line in enumerate(lines):
        line["metrics"]["sharpness"] = 900.0 + number / 1000
        line["tags"] = {name: tag for name, tag in line["tags"].items() if name[:4] not in ("seal", "file")}
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))


def test_fresh_seeds_that_differ_contradict(published: Workspace, tmp_path: Path) -> None:
    made = published.copy(tmp_path)
    folder = made.folder / "site" / "published" / "tiny"
    far_away(folder)
    output = made.run("verify", f"{folder}#{BASELINE}", "--workers", "1", code=1)
    assert output.splitlines()[-1] == "contradicted"
    assert "expected 899." in output or "expected 900." in output


def test_what_cannot_be_verified_is_refused(published: Workspace, tmp_path: Path) -> None:
    folder = published.folder / "site" / "published" / "tiny"
    assert "did you mean 'gan + ema'?" in published.run("verify", f"{folder}#gan + em", code=2)
    assert "expected FOLDER#ARM" in published.run("verify", folder, code=2)
    assert "has no made.json" in published.run("verify", f"{tmp_path}#gan", code=2)
