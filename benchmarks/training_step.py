"""How much quicker a training step is in bfloat16 than in float32, as a ratio measured in one run.

    python benchmarks/training_step.py

The two variants take turns, so that a machine whose speed drifts treats both alike; the medians are compared.
"""

from __future__ import annotations

import statistics
import time

import torch

from harness.zoo import registry
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import from_uint8
from harness.zoo.models.base import Model

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH, ROUNDS, STEPS = 64, 9, 8


def make(name: str, dtype: torch.dtype) -> Model:
    """A model on 28×28 images."""
    choice = registry.choose("models", name)
    rng = torch.Generator(DEVICE).manual_seed(0)
    made: Model = choice.plugin(choice.settings, Shape(1, 28, 28, 10), [], Compute(DEVICE, dtype), 0, rng)
    return made


def seconds(model: Model, batch: Labelled) -> float:
    """Seconds of one step, the mean of several."""
    started = time.perf_counter()
    for _ in range(STEPS):
        model.step(batch)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    torch.set_num_threads(1)
    pixels = torch.randint(0, 256, (BATCH, 1, 28, 28), device=DEVICE, dtype=torch.uint8)
    images = from_uint8(pixels).contiguous(memory_format=torch.channels_last)
    batch = Labelled(images, torch.zeros(BATCH, dtype=torch.long, device=DEVICE))
    print(f"{DEVICE}, batches of {BATCH}, one CPU thread, median of {ROUNDS} rounds")
    for name in registry.names("models"):
        models = {dtype: make(name, dtype) for dtype in (torch.float32, torch.bfloat16)}
        times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in models}
        for round_number in range(ROUNDS + 1):
            for dtype, model in models.items():
                took = seconds(model, batch)
                if round_number > 0:  # the first warms up
                    times[dtype].append(took)
        slow, quick = (statistics.median(times[dtype]) for dtype in (torch.float32, torch.bfloat16))
        print(f"{name:<10} float32 {1000 * slow:7.2f} ms   bfloat16 {1000 * quick:7.2f} ms   ratio {slow / quick:.2f}")


if __name__ == "__main__":
    main()
