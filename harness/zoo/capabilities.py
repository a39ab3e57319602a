"""The names of the capabilities that a model may offer. Models, tricks and metrics share them.

``Model.capabilities`` returns those that a model has with given settings. A trick states those that it ``requires``,
``conflicts`` with and ``hides``; a metric those that it ``requires``. A model with a new capability defines its name
with ``Model.offers``.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.zoo import registry

CAPABILITIES: Mapping[str, str] = {
    # for tricks
    "generator": "a network that generates images: Game.generator",
    "discriminator": "a network that tells real images from generated ones: Game.discriminator",
    "discriminator_features": "the discriminator's last hidden layer, which can be extended: Discriminator.extend",
    "latent": "the generator's input is z: Game.latent, Game.noise; for metrics Game.latents and images_from",
    "targets": "the discriminator is trained towards targets that can be changed",
    "adam": "the discriminator's optimiser is Adam: Game.discriminator_optimiser",
    "generator_batch_norm": "the generator has batch normalisation",
    "discriminator_batch_norm": "the discriminator has batch normalisation",
    # for metrics: each is a method of the model
    "probability": "Model.probability: the probability that an image is real, according to the discriminator",
    "conditional": "Model.sample_classes: samples of given classes",
    "classifier": "Model.classify",
    "codes": "Model.codes: categories that the model found by itself",
    "code_inputs": "sample_codes: samples of given codes, of which settings.categories and settings.continuous exist",
    "reconstruction": "Model.reconstruct; encode and decode, its two halves",
    "translation": "Model.translate",
}
"""Name -> what it means."""


def known() -> dict[str, str]:
    """All capabilities, including those that models define."""
    words = dict(CAPABILITIES)
    for entry in registry.entries("models"):
        if entry.plugin is not None:
            words |= entry.plugin.offers
    return words
