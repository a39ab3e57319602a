"""The defaults of every trick against a table written by hand: the paper's values, where the paper has any."""

from __future__ import annotations

from typing import Any

import pytest

from harness.zoo import registry

PUBLISHED: dict[str, dict[str, Any]] = {
    # Zhao et al. 2020: translation within 1/8 of the size, cutout of half the size, and colours.
    "diff_augment": {"translation": 1 / 8, "cutout": 1 / 2, "colour": True},
    # Yazıcı et al. 2019 compare several; .999 is the usual one.
    "ema": {"decay": 0.999},
    "feature_matching": {"weight": 1.0},  # Salimans et al. 2016, section 3.1: the loss has no factor
    # Gulrajani et al. 2017, algorithm 1: λ = 10, between real and generated images.
    "gradient_penalty": {"weight": 10.0, "around": "interpolates"},
    "historical_averaging": {"weight": 0.01},  # no published factor: the trick's docstring says why it is .01
    # Sønderby et al. 2017, section 3.2, anneal the noise linearly; .1 at the start, to 0 at the end of the training.
    "instance_noise": {"sigma": 0.1, "until": 1.0},
    # Srivastava et al. 2017, equation 3: no factor. The rate is Adam's own (Kingma and Ba 2015, algorithm 1).
    "latent_reconstruction": {"weight": 1.0, "rate": 1e-3},
    # Salimans et al. 2016, as in the authors' code: 100 kernels of 5 dimensions.
    "minibatch_discrimination": {"kernels": 100, "dimensions": 5},
    "minibatch_stddev": {},  # Karras et al. 2018, section 3: nothing to set
    "mode_seeking": {"weight": 1.0},  # Mao et al. 2019, as in the authors' code: λ = 1
    "one_sided_label_smoothing": {"target": 0.9},  # Salimans et al. 2016, section 3.4: .9 instead of 1
    "packing": {"size": 2},  # Lin et al. 2018, table 1: PacGAN2, the smallest of its packs
    "r1": {"weight": 10.0, "final": None},  # Mescheder et al. 2018: γ = 10, the same at every step
    "r2": {"weight": 10.0, "final": None},  # the same
    "self_ensemble": {"members": 10},  # Wang et al. 2016 choose the members by hand
    "sgd": {"generator_rate": 0.1, "discriminator_rate": 0.1},  # no published rates
    "spectral_norm": {},  # Miyato et al. 2018, algorithm 1: nothing to set
    # Heusel et al. 2017 give the rule; 1e-4 and 4e-4 are those of Zhang et al. 2019 (self-attention GAN).
    "ttur": {"generator_rate": 1e-4, "discriminator_rate": 4e-4},
    "two_sided_label_smoothing": {"real": 0.9, "fake": 0.1},  # Salimans et al. 2016, section 3.4: .9 and .1
    "unrolling": {"steps": 5},  # Metz et al. 2017: five steps ahead on the ring
    "virtual_batch_norm": {"reference": 64},  # no published number: a mini-batch of a suite's usual size
    "weight_clipping": {"limit": 0.01},  # Arjovsky et al. 2017, algorithm 1: c = .01
}


def test_every_trick_is_in_the_table() -> None:
    assert sorted(PUBLISHED) == sorted(registry.names("tricks")), "a new trick needs its line in PUBLISHED, here"


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_ones(name: str) -> None:
    assert registry.choose("tricks", name).settings.model_dump() == PUBLISHED[name]
