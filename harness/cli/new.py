"""`harness new`: a commented file to start a plug-in from. It passes its contract as it is (`harness test`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from harness.base.errors import HarnessError
from harness.base.files import write_bytes
from harness.zoo import registry

TRICK = '''"""NAME: what it does to the game, in a sentence or an equation."""

import torch  # use it inside methods only: then `harness plan` need not wait for it
from pydantic import Field

from harness.plugins import Settings, Trick


class CLASSSettings(Settings):
    """What a suite can set: {name: NAME, spread: 0.2}. Every value is part of a trial's key."""

    spread: float = Field(0.1, gt=0, le=1, description="standard deviation of the noise")


class CLASS(Trick):
    """x + spread · ε for real and generated images, ε ~ N(0, 1)."""

    name = "NAME"
    summary = "noise is added to what the discriminator sees"
    paper = "none: my own"
    Settings = CLASSSettings
    settings: CLASSSettings
    requires = frozenset({"discriminator"})  # what the model must offer: harness/zoo/capabilities.py
    # Say `capturable = True` for one CUDA graph a step on a GPU: `harness docs plugins` has the rules.

    # Override the hooks that you need: `help(harness.plugins.Trick)` lists them. Your own methods begin with _.
    def discriminator_input(self, images, game):
        """Images (n, channels, height, width) in [-1, 1], real or generated; return the same shape."""
        noise = torch.randn(images.shape, device=images.device, generator=game.rng)  # checkpoints save this generator
        return images + self.settings.spread * noise

    # def discriminator_loss(self, game, real, fake):
    #     """A scalar to add to the discriminator's loss. real.scores.logits has shape (n,), above 0 means real."""
    #     return 0.001 * real.scores.logits.square().mean()

    # def generator_loss(self, game, real, fake):
    #     """A scalar to add to the generator's loss; fake.images are those that it drew."""

    # def state_dict(self):
    #     """What must survive an interruption: tensors and plain values. And load_state_dict(self, state)."""
'''

MODEL = '''"""NAME: how it learns, in a sentence or an equation."""

import torch
from pydantic import Field

from harness.plugins import Model, Settings, seeded


class CLASSSettings(Settings):
    """What a suite can set: {name: NAME, latent: 16}. Every value is part of a trial's key."""

    latent: int = Field(8, ge=1, le=4096, description="dimensions of z")
    rate: float = Field(1e-3, gt=0, le=1, description="learning rate of Adam")


class CLASS(Model):
    """A network from z ~ N(0, 1) to images, trained to have the mean and the variance of the data in every pixel."""

    name = "NAME"
    summary = "matches the mean and the variance of every pixel"
    paper = "none: my own"
    Settings = CLASSSettings
    settings: CLASSSettings

    def __init__(self, *args):
        super().__init__(*args)  # self.shape, self.compute.device, self.rng, self.seed, self.steps, self.training
        channels, height, width, _ = self.shape
        with seeded(self.seed, "generator"):  # the initial weights follow from the trial's seed
            layers = [torch.nn.Linear(self.settings.latent, 64), torch.nn.ReLU()]
            layers += [torch.nn.Linear(64, channels * height * width), torch.nn.Tanh()]
            self.generator = torch.nn.Sequential(*layers, torch.nn.Unflatten(1, (channels, height, width)))
        self.generator.to(self.compute.device)
        self.optimiser = torch.optim.Adam(self.generator.parameters(), lr=self.settings.rate)

    def step(self, batch):
        """One training step. batch.images (n, c, h, w) are in [-1, 1], batch.labels (n,) their classes.

        Returns: scalars by name, as tensors on the device; they become curves.
        """
        images = self.generator(self._latents(len(batch.images), self.rng))
        real = batch.images
        loss = (images.mean(0) - real.mean(0)).square().mean() + (images.var(0) - real.var(0)).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}

    def sample(self, n, rng):
        """n images (n, c, h, w) in [-1, 1]. All random numbers come from rng."""
        with torch.no_grad():
            return self.generator(self._latents(n, rng))

    def _latents(self, n, rng):
        return torch.randn(n, self.settings.latent, device=self.compute.device, generator=rng)

    def weights(self):
        """What is needed to sample again: it is published with the trial."""
        return dict(self.generator.state_dict())

    def state_dict(self):
        """All that must survive an interruption: a trial goes on as if there had been none."""
        return {"generator": self.generator.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state):
        self.generator.load_state_dict(state["generator"])
        self.optimiser.load_state_dict(state["optimiser"])
'''

NETWORK = '''"""NAME: a generator and a discriminator."""

import torch
from pydantic import Field

from harness.plugins import Architecture, Settings


class CLASSSettings(Settings):
    """What a suite can set: architecture: {name: NAME, width: 128}."""

    width: int = Field(64, ge=1, le=8192, description="units of the hidden layers")


class CLASS(Architecture):
    """One hidden layer in both networks."""

    name = "NAME"
    summary = "one hidden layer in both networks"
    paper = "none: my own"
    Settings = CLASSSettings
    settings: CLASSSettings

    # @classmethod
    # def refusal(cls, settings, shape):
    #     """Why it cannot be used for images of this shape, or None."""
    #     return None if shape.height == shape.width == 28 else "it is made for 28×28 pixels"

    # @classmethod
    # def batch_norm(cls, settings):
    #     """Which of the two have batch normalisation: needed where one has."""
    #     return frozenset({"generator", "discriminator"})

    def generator(self, latent):
        """From latents (n, latent) to images (n, channels, height, width) in [-1, 1].

        A network that begins with convolutions needs torch.nn.Unflatten(1, (latent, 1, 1)) first.
        """
        channels, height, width, _ = self.shape
        layers = [torch.nn.Linear(latent, self.settings.width), torch.nn.ReLU()]
        layers += [torch.nn.Linear(self.settings.width, channels * height * width), torch.nn.Tanh()]
        return torch.nn.Sequential(*layers, torch.nn.Unflatten(1, (channels, height, width)))

    def discriminator(self, channels):
        """From images (n, channels, height, width) to logits and features.

        Discriminator puts the last layer on a body from images to features (n, d). To use a network of another script
        that gives one logit per image (no sigmoid at its end), say `scores_only = True` above and return the network;
        tricks that need features are refused then.
        """
        from harness.plugins import Discriminator  # a torch module: import it only here

        pixels = channels * self.shape.height * self.shape.width
        layers = [torch.nn.Flatten(), torch.nn.Linear(pixels, self.settings.width), torch.nn.LeakyReLU(0.2)]
        return Discriminator(torch.nn.Sequential(*layers), features=self.settings.width)
'''

METRIC = '''"""NAME: what it measures."""

from harness.plugins import Metric, Value


class CLASS(Metric):
    """|mean brightness of the samples − mean brightness of the real images|, in [0, 1]."""

    name = "NAME"
    summary = "difference in mean brightness"
    paper = "none: my own"
    # Column -> label, which direction is better ("lower" or "higher"), its meaning; one entry per number.
    values = {"NAME": Value("LABEL", "lower", "Difference in mean brightness to real images. 0 is good.", digits=3)}
    # Where noise may be as good as real images, say so: noise_is_not_worse = {"NAME": "why"}

    def compute(self, samples, reference):
        """The numbers, by column.

        samples.pixels and reference.pixels are (n, channels, height, width), uint8, on the device; reference.labels are
        the classes of the real images. Take no random numbers from torch's global state.
        """
        means = [images.pixels.float().mean() / 255 for images in (samples, reference)]
        return {"NAME": float((means[0] - means[1]).abs())}
'''

DATA = '''"""NAME: where the images come from."""

import hashlib

import torch

from harness.plugins import DataSet, Labelled, Shape


class CLASS(DataSet):
    """Images of 8×8 with a bright row (class 0) or a bright column (class 1)."""

    name = "NAME"
    summary = "a bright row or a bright column"

    @property
    def shape(self):
        return Shape(channels=1, height=8, width=8, classes=2)

    def whole_digest(self):
        """A hash of the content: part of every trial's key. For a file, that of its bytes."""
        return hashlib.sha256(b"NAME 1").hexdigest()

    def whole(self, split):
        """All images of "train" or "test": (n, channels, height, width) in uint8, and their classes (n,) in int64.

        For arrays in a file: images = torch.from_numpy(numpy.load(path)["images"]).
        """
        n = 800 if split == "train" else 80
        places, labels = torch.arange(n) // 2 % 8, torch.arange(n) % 2
        images = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
        for image, place, label in zip(images, places, labels):
            image[0].select(int(label), int(place)).fill_(255)
        return Labelled(images, labels)
'''

STARTS = {
    "trick": ("tricks", TRICK, "matrix: {tricks: [[], [NAME]]}"),
    "model": ("models", MODEL, "matrix: {model: [dcgan, NAME]}"),
    "network": ("networks", NETWORK, "base: {model: {name: gan, architecture: NAME}}"),
    "metric": ("metrics", METRIC, "evaluate: {metrics: [fid, NAME]}"),
    "data": ("data", DATA, "data: NAME"),
}
"""What can be begun -> its kind in the registry, the text of the file, and how a suite uses it."""


def new(what: str, name: str, folder: Path) -> list[str]:
    """Write the file ``NAME.py`` into a folder. Returns what to do next, as lines.

    Raises:
        HarnessError: the name cannot be used, or the file is there already.
    """
    kind, text, use = STARTS[what]
    path = folder / f"{name}.py"
    _refuse(kind, name, path)
    label = name.replace("_", " ").capitalize()
    for word, own in (("NAME", name), ("CLASS", label.title().replace(" ", "")), ("LABEL", label)):
        text, use = text.replace(word, own), use.replace(word, own)
    write_bytes(path, text.encode())
    return [
        f"wrote {path}: change it, and see whether it holds its contract:",
        f"  harness test {path}",
        "then name it in a suite (a path is relative to the suite's file):",
        f"  plugins: [{path.name}]",
        f"  {use}",
    ]


def _refuse(kind: str, name: str, path: Path) -> None:
    if not (name.isidentifier() and name == name.lower() and name.isascii()) or name.startswith("_"):
        raise HarnessError(f"{name!r} cannot be its name: use small letters, digits and _, as in my_{kind}")
    if any(entry.name == name for entry in registry.entries(kind)):
        raise HarnessError(f"the name {name!r} in {kind} is taken (`harness explain {name}`): choose another")
    if path.exists():
        raise HarnessError(f"{path} is there already: choose another name, or remove it")
    if (found := importlib.util.find_spec(name)) is not None:
        raise HarnessError(f"a module {name} is installed already ({found.origin or 'built in'}): choose another name")
