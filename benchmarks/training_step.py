"""How much quicker a training step is in bfloat16 than in float32, as a ratio measured in one run.

    python benchmarks/training_step.py [--rounds 9] [--steps 8] [--models NAME ...]

The two variants take turns, so that a machine whose speed drifts treats both alike; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from harness.zoo import registry
from harness.zoo.building import build, random_batch
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import from_uint8
from harness.zoo.models.base import Model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH = 64


def batch_of(model: Model) -> Labelled:
    """Random images for one step."""
    images, labels = random_batch(model.shape, BATCH * model.batches_per_step, torch.Generator().manual_seed(0))
    floats = from_uint8(images.to(DEVICE)).contiguous(memory_format=torch.channels_last)
    return Labelled(floats, labels.to(DEVICE))


def seconds(model: Model, batch: Labelled, steps: int) -> float:
    """Seconds of one step, the mean of several."""
    started = time.perf_counter()
    for _ in range(steps):
        model.step(batch)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds that are measured, after one that warms up")
    parser.add_argument("--steps", type=int, default=8, help="steps in a round")
    parser.add_argument("--models", nargs="*", help="names of models [default: all]")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{DEVICE}, batches of {BATCH}, one CPU thread, median of {chosen.rounds} rounds")
    for name in chosen.models or registry.names("models"):
        models = {dtype: build(name, device=str(DEVICE), dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
        times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in models}
        for round_number in range(chosen.rounds + 1):
            for dtype, model in models.items():
                took = seconds(model, batch_of(model), chosen.steps)
                if round_number > 0:  # the first warms up
                    times[dtype].append(took)
        slow, quick = (statistics.median(times[dtype]) for dtype in (torch.float32, torch.bfloat16))
        print(f"{name:<18} float32 {1000 * slow:7.2f} ms   bfloat16 {1000 * quick:7.2f} ms   ratio {slow / quick:.2f}")


if __name__ == "__main__":
    main()
