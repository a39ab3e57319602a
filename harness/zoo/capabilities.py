"""The words for what a model may offer, in one place: models, tricks and metrics mean the same by them.

A model says with ``Model.capabilities`` which of them hold for given settings; a trick states those that it
``requires``, ``conflicts`` with and ``hides``, a metric those that it ``requires``. A model that offers something for
which there is no word yet adds it with ``Model.offers``.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.zoo import registry

CAPABILITIES: Mapping[str, str] = {
    # to tricks
    "generator": "a network that draws images: Game.generator",
    "discriminator": "a network that tells real images from generated ones: Game.discriminator",
    "discriminator_features": "the discriminator's last hidden layer, which can be extended: Discriminator.extend",
    "latent": "the generator draws from z: Game.latent, Game.noise",
    "targets": "the discriminator is trained towards targets that can be changed",
    "adam": "the discriminator's optimiser is Adam: Game.discriminator_optimiser",
    "generator_batch_norm": "the generator has batch normalisation",
    "discriminator_batch_norm": "the discriminator has batch normalisation",
    # to metrics, each a method of the model beside sample
    "probability": "Model.probability: how probable the discriminator holds it that an image is real",
    "conditional": "Model.sample_classes: samples of given classes",
    "classifier": "Model.classify",
    "codes": "Model.codes: categories that the model found by itself",
    "reconstruction": "Model.reconstruct",
    "translation": "Model.translate",
}
"""Word -> what it promises."""


def known() -> dict[str, str]:
    """All words that a model can offer, those that models add included."""
    words = dict(CAPABILITIES)
    for entry in registry.entries("models"):
        if entry.plugin is not None:
            words |= entry.plugin.offers
    return words
