"""The networks of CycleGAN. Imported only when a network is built, because they import torch.

Zhu et al. 2017, section 4 and appendix 7.2, in a small version: a generator reduces the image, applies residual blocks
that keep its size, and enlarges it again; a discriminator gives a map of logits, one per overlapping patch of the
image. Normalisation is per image and channel, without a learned scale (Ulyanov et al. 2016).
"""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """x + f(x); f is two 3×3 convolutions with normalisation, the first also with a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            normalisation(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            normalisation(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        changed: Tensor = images + self.body(images)
        return changed


def normalisation(channels: int) -> nn.Module:
    """Mean 0 and variance 1 over each channel of each image; GroupNorm with one channel per group is fastest."""
    return nn.GroupNorm(channels, channels, affine=False)


def generator(channels: int, width: int, halvings: int, blocks: int) -> nn.Module:
    """Images -> images of the same size, in [-1, 1]. The sides must be multiples of 2^halvings."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 7, padding=3, padding_mode="reflect", bias=False),
        normalisation(width),
        nn.ReLU(),
    ]
    for _ in range(halvings):
        layers.append(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False))
        layers += [normalisation(2 * width), nn.ReLU()]
        width *= 2
    layers += [Residual(width) for _ in range(blocks)]
    for _ in range(halvings):
        layers.append(nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=False))
        layers += [normalisation(width // 2), nn.ReLU()]
        width //= 2
    layers += [nn.Conv2d(width, channels, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
    return initialise(nn.Sequential(*layers))


def discriminator(channels: int, width: int) -> nn.Module:
    """Images (n, c, h, w) -> logits (n, 1, h / 4, w / 4), one for each patch of 18×18 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), normalisation(2 * width)]
    layers += [nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 3, padding=1)]
    return initialise(nn.Sequential(*layers))


def initialise(network: nn.Module) -> nn.Module:
    """Weights from N(0, .02), biases 0 (appendix 7.1)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
