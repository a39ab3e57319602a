"""What the well-known public scripts do, written anew: a DCGAN, a fully connected GAN and a WGAN-GP, batches of 64.

    python benchmarks/peers.py gan|dcgan|wgan_gp [--steps 100] [--seed 0] [--size 32]

As such scripts do: every image goes through a chain of transforms when it is loaded, everything is float32, Adam is the
plain one, labels are made at every step, fakes are drawn once a step (detached for D, used again for G), and losses are
printed at every step. The networks are of the usual sizes: see the classes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from math import prod
from typing import TextIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms  # type: ignore[import-untyped]

BATCH, LATENT, IMAGES = 64, 100, 2000
CRITIC = 5
"""Critic steps per generator step of the WGAN-GP."""
SIZES = {"gan": 28, "dcgan": 32, "wgan_gp": 28}
"""Height and width of the images, unless another is asked for; only the DCGAN takes another."""


class Digits(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Random images of the size of MNIST's, with its transforms: resized, as floats, in [-1, 1]."""

    def __init__(self, size: int) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28), dtype=np.uint8)
        chain = [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
        self.transform = transforms.Compose(chain)

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image: Tensor = self.transform(Image.fromarray(self.images[place]))
        return image, place % 10


def convolutional_generator(size: int) -> nn.Module:
    """z → 128 × 8 × 8, twice (twice as large, 3 × 3 convolution, norm) → 1 × 32 × 32 (28 begins with 7 × 7)."""
    first = (128, size // 4, size // 4)
    layers: list[nn.Module] = [nn.Linear(LATENT, prod(first)), nn.Unflatten(1, first), nn.BatchNorm2d(128)]
    for inputs, outputs in ((128, 128), (128, 64)):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1)]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1), nn.Tanh())


def convolutional_body() -> nn.Module:
    """Four 3 × 3 convolutions of stride 2 with 16 to 128 channels, dropout and norm → 512 features."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
        layers += [nn.BatchNorm2d(outputs)] if inputs > 1 else []
    return nn.Sequential(*layers, nn.Flatten())


def connected_generator(size: int = 28) -> nn.Module:
    """z → 128 → 256 → 512 → 1024 → 1 × 28 × 28, with norm from the second layer on."""
    layers: list[nn.Module] = [nn.Linear(LATENT, 128), nn.LeakyReLU(0.2)]
    for inputs, outputs in ((128, 256), (256, 512), (512, 1024)):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(1024, 28 * 28), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def connected_body() -> nn.Module:
    """784 → 512 → 256 features."""
    hidden = [nn.Linear(28 * 28, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2)]
    return nn.Sequential(nn.Flatten(), *hidden)


GENERATORS = {"gan": connected_generator, "dcgan": convolutional_generator, "wgan_gp": connected_generator}
BODIES = {"gan": connected_body, "dcgan": convolutional_body, "wgan_gp": connected_body}
FEATURES = {"gan": 256, "dcgan": 512, "wgan_gp": 256}


class Peer:
    """One of the scripts: ``step`` trains on a batch, ``batches`` loads them."""

    def __init__(self, name: str, seed: int = 0, size: int | None = None, out: TextIO = sys.stdout) -> None:
        torch.manual_seed(seed)
        self.name = name
        self.size = size or SIZES[name]
        self.out = out
        self.generator = GENERATORS[name](self.size)
        head = [nn.Linear(FEATURES[name], 1), *([] if name == "wgan_gp" else [nn.Sigmoid()])]
        self.discriminator = nn.Sequential(BODIES[name](), *head)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=False)
            for network in (self.generator, self.discriminator)
        ]
        self.loss = nn.BCELoss()
        self.number = 0

    def batches(self) -> Iterator[Tensor]:
        """Batches without end, every image through its transforms."""
        loader = torch.utils.data.DataLoader(Digits(self.size), BATCH, shuffle=True, drop_last=True)
        while True:
            for images, _ in loader:
                yield images

    def step(self, batches: Iterator[Tensor]) -> None:
        """One step of the generator, with the steps of the discriminator that belong to it."""
        d_loss, g_loss = self._critic(batches) if self.name == "wgan_gp" else self._players(next(batches))
        self.number += 1
        print(f"[batch {self.number}] [D loss: {d_loss.item():f}] [G loss: {g_loss.item():f}]", file=self.out)

    def _players(self, real: Tensor) -> tuple[Tensor, Tensor]:
        of_generator, of_discriminator = self.optimizers
        valid, fake = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        of_generator.zero_grad()
        drawn = self.generator(torch.randn(len(real), LATENT))
        g_loss = self.loss(self.discriminator(drawn), valid)
        g_loss.backward()
        of_generator.step()
        of_discriminator.zero_grad()
        d_real = self.loss(self.discriminator(real), valid)
        d_fake = self.loss(self.discriminator(drawn.detach()), fake)
        d_loss = (d_real + d_fake) / 2
        d_loss.backward()
        of_discriminator.step()
        return d_loss, g_loss

    def _critic(self, batches: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        of_generator, of_discriminator = self.optimizers
        for _ in range(CRITIC):
            real = next(batches)
            of_discriminator.zero_grad()
            drawn = self.generator(torch.randn(len(real), LATENT))
            penalty = self._penalty(real, drawn.detach())
            d_loss = self.discriminator(drawn.detach()).mean() - self.discriminator(real).mean() + 10 * penalty
            d_loss.backward()
            of_discriminator.step()
            print(f"[D loss: {d_loss.item():f}]", file=self.out)
        of_generator.zero_grad()
        g_loss = -self.discriminator(self.generator(torch.randn(BATCH, LATENT))).mean()
        g_loss.backward()
        of_generator.step()
        return d_loss, g_loss

    def _penalty(self, real: Tensor, drawn: Tensor) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * drawn).requires_grad_()
        scores = self.discriminator(between)
        [slope] = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
        penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return penalty


def loaded(peer: Peer) -> Callable[[], Iterator[Tensor]]:
    """Batches of a peer that cost no loading: the same few, again and again."""
    source = peer.batches()
    kept = [next(source) for _ in range(8)]

    def endless() -> Iterator[Tensor]:
        while True:
            yield from kept

    return endless


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SIZES)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, help="height and width of the images")
    chosen = parser.parse_args()
    peer = Peer(chosen.name, chosen.seed, chosen.size)
    batches, began = peer.batches(), time.process_time()
    for _ in range(chosen.steps):
        peer.step(batches)
    print(f"{(time.process_time() - began) / chosen.steps:.4f} processor seconds a step")


if __name__ == "__main__":
    main()
