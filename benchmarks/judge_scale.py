"""What the judge sees, from bad to good: distances on a graded scale, and accepted beside refused images.

    python benchmarks/judge_scale.py --out FOLDER [--judge mnist] [--seeds 2] [--samples 1000] [--last 1000]

Writes ``scale.json`` (Fréchet distance and share of accepted images of made-up images and of the checkpoints of two
generators), ``scale.png`` and ``accepted.png``. It needs MNIST, and takes some 15 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor

from harness import judge
from harness.judge import outliers
from harness.judge.judge import Judge
from harness.judge.outliers import Source
from harness.judge.training import MEASURED_STYLES, many, whole_greys
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import from_uint8, to_uint8

STEPS = (0, 20, 60, 120, 250, 500, 1000, 2000, 4000)
SHOWN = 14
"""Accepted and refused images in a row of the picture."""


def pixels(images: Tensor) -> Tensor:
    """Floats in [0, 1] as uint8."""
    return (whole_greys(images) * 255).round().to(torch.uint8)


def made_up(source: Source, n: int) -> dict[str, Tensor]:
    """Images from bad to good that no generator made, uint8."""
    digits = source.digits(n)[0]
    flat = {
        name: torch.full((n, *source.shape), grey) for name, grey in (("black", 0.0), ("grey", 0.5), ("white", 1.0))
    }
    mixed = [style(source, part) for style, part in zip(MEASURED_STYLES.values(), digits.tensor_split(9), strict=True)]
    images = {
        "noise": source.uniform(n, *source.shape),
        **flat,
        "stripes": many(outliers.gratings, source, n),
        "inverted digits": 1 - digits,
        "blobs": F.avg_pool2d(F.pad(digits, (7,) * 4), 15, 1),
        "crumbled digits": many(outliers.crumbled, source, n),
        "torn digits": many(outliers.torn, source, n),
        "digits in other styles": torch.cat(mixed)[torch.randperm(n, generator=source.rng)],
    }
    return {name: pixels(image) for name, image in images.items()} | {"digits": pixels(digits)}


def checkpoints(model: str, seed: int, n: int, last: int) -> Iterator[tuple[int, Tensor]]:
    """Steps, and samples (uint8) of a generator with the default settings after these steps on MNIST."""
    data = registry.choose("data", "mnist").make().load("train")
    game, rng = build(model, seed=seed), torch.Generator().manual_seed(seed)
    marks = [step for step in STEPS if step <= last]
    for step in range(marks[-1] + 1):
        if step in marks:
            same = torch.Generator().manual_seed(99)
            yield step, to_uint8(torch.cat([game.sample(min(500, n), same) for _ in range(max(1, n // 500))]))
        chosen = torch.randint(len(data.labels), (64,), generator=rng)
        game.step(Labelled(from_uint8(data.images[chosen]), data.labels[chosen]))


def scale_picture(found: dict[str, dict[str, float]], path: Path) -> None:
    """Distances of made-up images as a bar chart, and of the checkpoints as lines."""
    figure, (bars, lines) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    names = [name for name in found if " step " not in name]
    bars.barh(names[::-1], [found[name]["fid"] for name in names[::-1]], color="#4477aa")
    bars.set_xlabel("Fréchet distance to MNIST's test digits")
    curves: dict[str, dict[int, float]] = {}
    for name, values in found.items():
        if " step " in name:
            run, _, step = name.partition(" step ")
            curves.setdefault(run, {})[int(step)] = values["fid"]
    for run, curve in curves.items():
        lines.plot(range(len(curve)), list(curve.values()), marker="o", label=run)
        lines.set_xticks(range(len(curve)), list(map(str, curve)))
    lines.set_xlabel("training steps")
    lines.set_ylim(bottom=0)
    lines.legend()
    figure.savefig(path, dpi=110)


def accepted_picture(arbiter: Judge, rows: dict[str, Tensor], path: Path) -> None:
    """Accepted images on the left, refused ones on the right."""
    figure, axes = plt.subplots(len(rows), 2, figsize=(11, 0.55 * len(rows) + 0.4), squeeze=False, layout="constrained")
    for (name, images), pair in zip(rows.items(), axes, strict=True):
        accepted = arbiter.assess(images)[1] >= arbiter.threshold
        style = arbiter.style(images) >= arbiter.style_threshold
        pair[0].set_ylabel(
            f"{name}\n{accepted.float().mean():.0%} accepted, {style.float().mean():.0%} in style",
            rotation=0,
            ha="right",
            va="center",
            fontsize=8,
        )
        for axis, mask in zip(pair, (accepted, ~accepted), strict=True):
            chosen = images[mask][:SHOWN]
            blank = torch.full((SHOWN - len(chosen), *images.shape[1:]), 255, dtype=torch.uint8)
            axis.imshow(
                torch.cat([chosen, blank])[:, 0].permute(1, 0, 2).reshape(28, -1), cmap="gray", vmin=0, vmax=255
            )
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    axes[0][0].set_title("accepted", fontsize=9)
    axes[0][1].set_title("refused", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", default="mnist")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--last", type=int, default=STEPS[-1], help="the last checkpoint, in steps")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    data, arbiter = registry.choose("data", "mnist").make(), judge.load(chosen.judge, "cpu")
    test = data.load("test")
    reference = Reference(test.images, arbiter, arbiter, test.labels, data.load("train"), data)
    images = made_up(Source(test.images, test.labels, torch.Generator().manual_seed(7)), chosen.samples)
    for model in ("gan", "dcgan"):
        for seed in range(chosen.seeds):
            for step, samples in checkpoints(model, seed, chosen.samples, chosen.last):
                images[f"{model}, seed {seed} step {step}"] = samples
    fid = registry.choose("metrics", "fid").make()
    found = {}
    for name, shown in images.items():
        accepted = (arbiter.assess(shown)[1] >= arbiter.threshold).double().mean()
        found[name] = fid.compute(Images(shown, arbiter, arbiter), reference) | {"accepted": float(accepted)}
        print(f"{name:<26} FID {found[name]['fid']:8.2f}  accepted {found[name]['accepted']:6.1%}", flush=True)
    (chosen.out / "scale.json").write_text(json.dumps(found, indent=1) + "\n")
    scale_picture(found, chosen.out / "scale.png")
    stages = [name for name in images if name.startswith("dcgan, seed 0") and not name.endswith((" 0", " 20", " 60"))]
    rows = {name: images[name] for name in ("digits", "digits in other styles", *stages[::2])}
    accepted_picture(arbiter, rows, chosen.out / "accepted.png")


if __name__ == "__main__":
    main()
