"""Images that are not digits: families that the judges see in training, and families only for their evaluation.

A family is a function of a source of digits and a number n; it returns n images (n, 1, 28, 28) in [0, 1]. All random
numbers come from the source, so a seed makes everything reproducible. Families that are not about digits use the shape
of the source's images; ``families`` uses them for other data.

Outlier exposure: Hendrycks, Mazeika and Dietterich 2019. Without it, a convolutional classifier calls a noise image an
8 with full confidence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 28


@dataclass
class Source:
    """Digits to make outliers from, as floats in [0, 1], and a random generator.

    Args:
        images: (m, 1, 28, 28), uint8; other shapes for the families that accept them.
        labels: (m,).
        rng: a generator on the CPU.
        distort: the share of digits that are slightly distorted. It must be the same for outliers made from digits as
            for digits themselves: otherwise the blur of resampling, not the shape, separates the two.
    """

    images: Tensor
    labels: Tensor
    rng: torch.Generator
    distort: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def digits(self, n: int, among: tuple[int, ...] | None = None) -> tuple[Tensor, Tensor]:
        """n random digits and their labels; only of the classes in ``among``, if given."""
        pool = torch.arange(len(self.labels))
        if among is not None:
            pool = pool[torch.isin(self.labels, torch.tensor(among))]
        chosen = pool[torch.randint(len(pool), (n,), generator=self.rng)]
        images = self.images[chosen].float() / 255
        distorted = self.uniform(n) < self.distort
        if distorted.any():
            images[distorted] = self._distorted(images[distorted])
        return images, self.labels[chosen]

    def _distorted(self, images: Tensor) -> Tensor:
        """Digits slightly moved, a quarter of them with bolder strokes."""
        moved = self.moved(images)
        bold = 0.5 * (moved + F.max_pool2d(F.pad(moved, (1, 0, 1, 0)), 2, 1))
        return torch.where(self.uniform(len(images), 1, 1, 1) < 0.25, bold, moved)

    def moved(self, images: Tensor, beyond: str = "zeros") -> Tensor:
        """Images slightly rotated, sheared, scaled and shifted; ``beyond`` is grid_sample's padding mode."""
        n = len(images)
        angle, shear = 0.2 * (2 * self.uniform(n) - 1), 0.2 * (2 * self.uniform(n) - 1)
        scale, shift = 1 + 0.12 * (2 * self.uniform(n) - 1), 2.5 / 14 * (2 * self.uniform(n, 2) - 1)
        first = torch.stack([angle.cos() / scale, (shear - angle.sin()) / scale, shift[:, 0]], 1)
        second = torch.stack([angle.sin() / scale, angle.cos() / scale, shift[:, 1]], 1)
        grid = F.affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode=beyond, align_corners=False)

    def pairs(self, n: int) -> tuple[Tensor, Tensor]:
        """n pairs of digits of different classes."""
        (one, first), (other, second) = self.digits(n), self.digits(n)
        while (same := first == second).any():
            other[same], second[same] = self.digits(int(same.sum()))
        return one, other

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(shape, generator=self.rng)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.rng)

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high - 1."""
        return int(torch.randint(low, high, (), generator=self.rng))

    def order(self, n: int) -> Tensor:
        """A permutation of n items in which at most a quarter keep their places."""
        identity = torch.arange(n)
        while True:
            permutation = torch.randperm(n, generator=self.rng)
            if (permutation == identity).float().mean() <= 0.25:
                return permutation


Family = Callable[[Source, int], Tensor]


# --- shown in training ---------------------------------------------------------------------------------------------


def uniform_noise(source: Source, n: int) -> Tensor:
    """Independent uniform pixels, at any brightness."""
    return source.uniform(n, *source.shape) * source.uniform(n, 1, 1, 1)


def gaussian_noise(source: Source, n: int) -> Tensor:
    """Independent normal pixels, around any grey."""
    return source.uniform(n, 1, 1, 1) + 0.5 * source.uniform(n, 1, 1, 1) * source.normal(n, *source.shape)


def clouds(source: Source, n: int) -> Tensor:
    """Coarse noise, smoothly enlarged."""
    coarse = source.uniform(n, source.shape[0], 7, 7)
    return (F.interpolate(coarse, source.shape[1:], mode="bilinear") - 0.3) * (1 + 2 * source.uniform(n, 1, 1, 1))


def flat(source: Source, n: int) -> Tensor:
    """Blank, or one grey (or colour) all over."""
    grey = source.uniform(n, source.shape[0], 1, 1) * (source.uniform(n, 1, 1, 1) > 0.5)
    return grey.expand(n, *source.shape).clone()


def shuffled_quarters(source: Source, n: int) -> Tensor:
    """Digits whose four quarters have changed places."""
    return _shuffled(source, n, 2)


def shuffled_patches(source: Source, n: int) -> Tensor:
    """Digits whose sixteen patches have changed places."""
    return _shuffled(source, n, 4)


def overlaid(source: Source, n: int) -> Tensor:
    """Two digits of different classes, one on top of the other."""
    one, other = source.pairs(n)
    return torch.maximum(one, other)


def blended(source: Source, n: int) -> Tensor:
    """Two digits of different classes, each half transparent."""
    one, other = source.pairs(n)
    weight = 0.35 + 0.3 * source.uniform(n, 1, 1, 1)
    return weight * one + (1 - weight) * other


def torn(source: Source, n: int) -> Tensor:
    """The upper (or left) part of one digit and the lower (or right) part of another."""
    one, other = source.pairs(n)
    share, image = source.integer(11, 17) / 28, one.clone()
    row, column = (round(share * side) for side in source.shape[1:])
    if source.integer(0, 2):
        image[:, :, row:] = other[:, :, row:]
    else:
        image[:, :, :, column:] = other[:, :, :, column:]
    return image


def strokes(source: Source, n: int) -> Tensor:
    """One to three random smooth strokes."""
    one, two, three = (curves(source, n) for _ in range(3))
    many = source.uniform(n, 1, 1, 1)
    return one.maximum(two * (many > 0.3)).maximum(three * (many > 0.7))


def mirrored(source: Source, n: int) -> Tensor:
    """Digits that look like no digit when mirrored: 3, 4, 6, 7 and 9 left to right, 4 and 7 upside down."""
    half = n // 2
    return torch.cat([source.digits(n - half, (3, 4, 6, 7, 9))[0].flip(-1), source.digits(half, (4, 7))[0].flip(-2)])


def erased(source: Source, n: int) -> Tensor:
    """Digits with a broad band through the middle erased (no ones: half a one is a one)."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 7, 8, 9))
    start = source.integer(8, 14)
    if source.integer(0, 2):
        image[:, :, start : start + 7] = 0
    else:
        image[:, :, :, start : start + 6] = 0
    return image


def crumbled(source: Source, n: int) -> Tensor:
    """Digits half of which a coarse random mask removes."""
    mask = (source.uniform(n, 1, 9, 9) < 0.5).float()
    return source.digits(n)[0] * F.interpolate(mask, SIZE)


def noisy(source: Source, n: int) -> Tensor:
    """Digits under strong noise, like the samples of generators that do not learn."""
    noise = source.normal(n, *source.shape) * (0.5 + 0.5 * source.uniform(n, 1, 1, 1))
    return source.digits(n)[0] + noise


def bent(source: Source, n: int) -> Tensor:
    """Digits bent beyond recognition by a strong elastic deformation."""
    field = F.interpolate(source.normal(n, 2, 5, 5), SIZE, mode="bicubic").permute(0, 2, 3, 1)
    still = F.affine_grid(torch.eye(2, 3).repeat(n, 1, 1), [n, 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(source.digits(n)[0], still + 0.35 * field, align_corners=False)


def smeared(source: Source, n: int) -> Tensor:
    """A digit and a stroke, blurred together."""
    both = source.digits(n)[0].maximum(curves(source, n))
    return 1.5 * F.avg_pool2d(both, 5, 1, 2)


def lines(source: Source, n: int) -> Tensor:
    """Two to five straight strokes, joined or crossing, as in handwriting that is not a digit."""
    several = torch.stack([_segments(source, n) for _ in range(5)])
    many = source.uniform(n, 1, 1, 1)
    there = torch.stack([torch.ones_like(many), *(many > limit for limit in (0.0, 0.25, 0.5, 0.75))])
    ink: Tensor = (several * there).amax(0)
    return ink


def rings(source: Source, n: int) -> Tensor:
    """Waves around a point, of any width."""
    y, x = _plane(source)
    centre, width, phase = source.uniform(n, 2, 1, 1), source.uniform(n, 1, 1, 1), source.uniform(n, 1, 1, 1)
    channels, height, across = source.shape
    radius = ((y - height * centre[:, :1]) ** 2 + (x - across * centre[:, 1:]) ** 2).sqrt()
    grey = 0.5 + 0.5 * (2 * torch.pi * (radius / (4 + 10 * width) + phase)).sin()
    return grey.repeat(1, channels, 1, 1)


def side_by_side(source: Source, n: int) -> Tensor:
    """Two digits of different classes next to each other, partly cut off or overlapping."""
    one, other = source.pairs(n)
    left, right = source.integer(-9, -4), source.integer(5, 10)
    return _moved(one, left).maximum(_moved(other, right))


def solids(source: Source, n: int) -> Tensor:
    """Filled ellipses and rectangles, rotated by any angle, none of them thin."""
    y, x = _plane(source)
    centre, half, angle = (
        6 + 16 * source.uniform(n, 2, 1, 1),
        4 + 6 * source.uniform(n, 2, 1, 1),
        source.uniform(n, 1, 1, 1),
    )
    down, right = y - centre[:, :1], x - centre[:, 1:]
    cosine, sine = (torch.pi * angle).cos(), (torch.pi * angle).sin()
    u, v = (right * cosine + down * sine) / half[:, :1], (down * cosine - right * sine) / half[:, 1:]
    ellipse, rectangle = u**2 + v**2 < 1, (u.abs() < 1) & (v.abs() < 1)
    return torch.where(source.uniform(n, 1, 1, 1) < 0.5, ellipse, rectangle).float()


TRAINED: Mapping[str, Family] = {
    family.__name__: family
    for family in (
        uniform_noise,
        gaussian_noise,
        clouds,
        flat,
        shuffled_quarters,
        shuffled_patches,
        overlaid,
        blended,
        torn,
        strokes,
        mirrored,
        erased,
        crumbled,
        noisy,
        bent,
        smeared,
        lines,
        rings,
        side_by_side,
        solids,
    )
}

FAR = ("uniform_noise", "gaussian_noise", "clouds", "flat", "shuffled_patches", "noisy", "rings")
"""The families of TRAINED that are far from any digit."""


# --- never shown ---------------------------------------------------------------------------------------------------


def photographs(source: Source, n: int) -> Tensor:
    """Pieces of the two photographs in scikit-learn, reduced to 28×28."""
    images = []
    for _ in range(n):
        photograph = _photographs()[source.integer(0, 2)]
        side = source.integer(56, 200)
        top, left = (source.integer(0, length - side) for length in photograph.shape)
        piece = photograph[None, None, top : top + side, left : left + side]
        images.append(F.interpolate(piece, SIZE, mode="area"))
    return torch.cat(images)


def gratings(source: Source, n: int) -> Tensor:
    """Parallel stripes of any direction and width."""
    y, x = _plane(source)
    angle, width, phase = (source.uniform(n, 1, 1, 1) for _ in range(3))
    along = x * (torch.pi * angle).cos() + y * (torch.pi * angle).sin()
    grey = 0.5 + 0.5 * (2 * torch.pi * (along / (4 + 8 * width) + phase)).sin()
    return grey.repeat(1, source.shape[0], 1, 1)


def checkerboards(source: Source, n: int) -> Tensor:
    """Squares of 2 to 7 pixels, in two greys."""
    y, x = _plane(source)
    boards = []
    for _ in range(n):
        side, shift = source.integer(2, 8), source.integer(0, 8)
        dark, light = source.uniform(2).sort().values
        squares = ((x + shift) // side + (y + shift) // side) % 2
        boards.append(dark + (light - dark) * squares)
    return torch.stack(boards)[:, None].repeat(1, source.shape[0], 1, 1)


def blobs(source: Source, n: int) -> Tensor:
    """One to four round spots."""
    y, x = _plane(source)
    total = torch.zeros(n, 1, SIZE, SIZE)
    for spot in range(4):
        centre, width = 6 + 16 * source.uniform(n, 2, 1, 1), 2 + 3 * source.uniform(n, 1, 1, 1)
        distance = (y - centre[:, :1]) ** 2 + (x - centre[:, 1:]) ** 2
        there = source.uniform(n, 1, 1, 1) < (1.0 if spot == 0 else 0.5)
        total = total.maximum(there * torch.exp(-distance / (2 * width**2)))
    return total


def inverted(source: Source, n: int) -> Tensor:
    """Black digits on white."""
    return 1 - source.digits(n)[0]


def salted(source: Source, n: int) -> Tensor:
    """Digits half of whose pixels are set to black or white at random."""
    image, _ = source.digits(n)
    hit = source.uniform(n, *source.shape)
    return torch.where(hit < 0.25, 0.0, torch.where(hit < 0.5, 1.0, image))


def four_at_once(source: Source, n: int) -> Tensor:
    """Four small digits in a square."""
    small = [F.avg_pool2d(source.digits(n)[0], 2) for _ in range(4)]
    square = torch.cat([torch.cat(small[:2], 3), torch.cat(small[2:], 3)], 2)
    return F.interpolate(square, source.shape[1:])


def letters(source: Source, n: int) -> Tensor:
    """Printed capitals that resemble no digit: E F H K M N R W.

    (The judge takes an A for a 4 and an X for an 8, as a person might in hurried handwriting.)
    """
    alphabet = _letters()
    return alphabet[torch.randint(len(alphabet), (n,), generator=source.rng)]


def strips(source: Source, n: int) -> Tensor:
    """Digits cut into four strips across, in another order."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 8, 9))
    return torch.cat([image.chunk(4, 2)[i] for i in (2, 0, 3, 1)], 2)


def polygons(source: Source, n: int) -> Tensor:
    """Filled triangles, none of them thin (a thin one looks like a 1)."""
    y, x = _plane(source)
    corners = 2 + 24 * source.uniform(n, 3, 2)
    while (thin := _area(corners) < 80).any():
        corners[thin] = 2 + 24 * source.uniform(int(thin.sum()), 3, 2)
    sides = []
    for i in range(3):
        (ay, ax), (by, bx) = (corners[:, j].T[:, :, None, None] for j in (i, (i + 1) % 3))
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
    signs = torch.stack(sides).sign()
    return (signs.sum(0).abs() == 3).float()[:, None]


def pink_noise(source: Source, n: int) -> Tensor:
    """Noise whose power falls with frequency, as in natural images."""
    down, across = (torch.fft.fftfreq(side) for side in source.shape[1:])
    radius = (down[:, None] ** 2 + across[None] ** 2).sqrt().clamp(min=1 / max(source.shape[1:]))
    waves = torch.fft.ifft2(torch.fft.fft2(source.normal(n, *source.shape)) / radius).real
    noise: Tensor = 0.3 + 0.3 * waves / waves.std((2, 3), keepdim=True)
    return noise


def double_vision(source: Source, n: int) -> Tensor:
    """The same digit twice, shifted sideways by a third of the image."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 8, 9))
    return image.roll(5, 3).maximum(image.roll(-5, 3))


HELD_OUT: Mapping[str, Family] = {
    family.__name__: family
    for family in (
        photographs,
        gratings,
        checkerboards,
        blobs,
        inverted,
        salted,
        four_at_once,
        letters,
        strips,
        polygons,
        pink_noise,
        double_vision,
    )
}


# --- building blocks -----------------------------------------------------------------------------------------------


def curves(source: Source, n: int) -> Tensor:
    """One cubic Bézier curve in each image, as thick as a pen stroke."""
    t = torch.linspace(0, 1, 40)
    bernstein = torch.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3], 1)
    points = torch.einsum("tk,nkd->ntd", bernstein, 3 + 22 * source.uniform(n, 4, 2))
    places = torch.arange(float(SIZE))
    distance = (places[None, None, :, None] - points[:, :, 1, None, None]) ** 2
    distance = distance + (places[None, None, None, :] - points[:, :, 0, None, None]) ** 2
    width = 0.8 + 0.8 * source.uniform(n, 1, 1, 1)
    ink: Tensor = torch.exp(-distance / (2 * width**2)).amax(1)
    return (1.3 * ink).clamp(0, 1)[:, None]


def _segments(source: Source, n: int) -> Tensor:
    """One straight stroke in each image."""
    y, x = _plane(source)
    (ay, ax), (by, bx) = ((4 + 20 * source.uniform(n, 2)).T[:, :, None, None] for _ in range(2))
    length = ((by - ay) ** 2 + (bx - ax) ** 2).clamp(min=1)
    along = (((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / length).clamp(0, 1)
    distance = (y - ay - along * (by - ay)) ** 2 + (x - ax - along * (bx - ax)) ** 2
    width = 0.8 + 0.8 * source.uniform(n, 1, 1)
    ink: Tensor = (1.3 * torch.exp(-distance / (2 * width**2))).clamp(0, 1)[:, None]
    return ink


def _moved(images: Tensor, columns: int) -> Tensor:
    """Images shifted sideways; pixels beyond the edge are lost."""
    padded = F.pad(images, (max(columns, 0), max(-columns, 0), 0, 0))
    start = max(-columns, 0)
    return padded[:, :, :, start : start + SIZE]


def _area(corners: Tensor) -> Tensor:
    (ay, ax), (by, bx), (cy, cx) = (corners[:, i].T for i in range(3))
    twice: Tensor = ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)).abs()
    return twice / 2


def _shuffled(source: Source, n: int, parts: int) -> Tensor:
    """Permute the patches of digits; remaining rows and columns stay in place."""
    image, (channels, height, width) = source.digits(n)[0], source.shape
    down, across = height // parts, width // parts
    whole = image[:, :, : parts * down, : parts * across]
    patches = whole.reshape(n, channels, parts, down, parts, across).permute(0, 2, 4, 1, 3, 5)
    patches = patches.reshape(n, parts**2, channels, down, across)[:, source.order(parts**2)]
    patches = patches.reshape(n, parts, parts, channels, down, across).permute(0, 3, 1, 4, 2, 5)
    image[:, :, : parts * down, : parts * across] = patches.reshape(whole.shape)
    return image


def _plane(source: Source) -> tuple[Tensor, Tensor]:
    _, height, width = source.shape
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return y, x


@functools.cache
def _photographs() -> list[Tensor]:
    from sklearn.datasets import load_sample_images

    return [torch.tensor(image).float().mean(2) / 255 for image in load_sample_images().images]


@functools.cache
def _letters() -> Tensor:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    images = []
    for letter in "EFHKMNRW":
        for size in (20, 22, 24):
            picture = Image.new("L", (SIZE, SIZE))
            font = ImageFont.load_default(size)
            ImageDraw.Draw(picture).text((SIZE / 2, SIZE / 2), letter, 255, font, anchor="mm")
            images.append(torch.from_numpy(np.array(picture)).float() / 255)
    return torch.stack(images)[:, None]
