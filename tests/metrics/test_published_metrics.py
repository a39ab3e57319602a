"""The defaults of every metric, and the constants that its numbers rest on, against tables written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness.metrics import (
    classification_error,
    code_accuracy,
    code_effects,
    conditional_accuracy,
    coverage,
    curvature,
    fidelity,
    interpolation,
    likelihood,
    memorisation,
    modes_2d,
    neighbours,
    optimal_discriminator,
    reconstruction,
    saddle,
    sharpness,
    stacked_modes,
    translation,
    two_sample,
    two_sample_reconstructed,
)
from harness.zoo import registry

PUBLISHED: dict[str, dict[str, Any]] = {
    "code_accuracy": {},
    "code_effects": {},
    "conditional_accuracy": {},
    "curvature": {},
    "density_coverage": {"neighbours": 5},  # Naeem et al. 2020, section 3: k = 5
    "energy_distance": {},
    "fid": {},
    "high_quality_modes": {},
    "inception_score": {"splits": 10},  # Salimans et al. 2016, the authors' code: the mean of ten splits
    "interpolation": {},
    "kid": {"subsets": 100, "subset_size": 1000},  # Bińkowski et al. 2018, as in the authors' code
    "latent_interpolation": {},
    "likelihood": {},
    "memorisation": {"cells": 10, "least": 20},  # no published number: a cell for each of ten classes
    "mode_coverage": {"share": 0.05, "confidence": None},  # no published number: docs/judges.md has the threshold
    "mode_score": {},
    "optimal_discriminator": {},
    "precision_recall": {"neighbours": 3},  # Kynkäänniemi et al. 2019: k = 3
    "reconstruction": {},
    "saddle": {},
    "sharpness": {},
    "stacked_modes": {},
    "test_error": {},
    "translation": {"images": 2000},
    "two_sample": {},
    "two_sample_reconstructed": {},
}

CONSTANTS: dict[Any, dict[str, Any]] = {
    # How many images are passed on at once: it divides the random numbers of a model among its batches.
    conditional_accuracy: {"SEED": 2014, "BATCH": 500},
    code_accuracy: {"BATCH": 500},
    code_effects: {"SEED": 2016, "IMAGES": 2000, "BATCH": 500},
    classification_error: {"BATCH": 500},
    reconstruction: {"AT_ONCE": 500, "MOST": 10_000},
    sharpness: {"BATCH": 2000},
    neighbours: {"HELD": 2**21, "SPARE": 3, "GROUP": 16, "EDGE": 1 + 1e-12},
    fidelity: {
        "SEED": 2020,
        "LEAST": 50,
        "ROWS": 250,
    },  # torch-fidelity's own seed; at least 50 samples of a class in a split
    curvature: {"ONE": 1},
    likelihood: {"MOST": 2000, "DRAWS": 64, "AT_ONCE": 100, "SEED": 2016},
    saddle: {"AT_ONCE": 500},
    two_sample_reconstructed: {"AT_ONCE": 500},
    coverage: {"NEIGHBOURS": 3},  # Kynkäänniemi et al. 2019: k = 3
    interpolation: {"SEED": 2013, "PAIRS": 2000, "BATCH": 500},
    memorisation: {"SEED": 2020},
    translation: {"SEED": 2017},
    modes_2d: {"WITHIN": 3.0},  # Srivastava et al. 2017, table 1: within three standard deviations
    optimal_discriminator: {"WIDTHS": (0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12), "MOST": 4000},
    stacked_modes: {"DIGITS": 10, "MODES": 1000},  # Metz et al. 2017: three digits
    # Lopez-Paz and Oquab 2017, section 5: one hidden layer of 20 units, 100 epochs.
    two_sample: {"SEED": 2017, "HIDDEN": 20, "EPOCHS": 100, "RATE": 0.01},
}


def test_every_metric_is_in_the_table() -> None:
    assert sorted(PUBLISHED) == sorted(registry.names("metrics")), "a new metric needs its line in PUBLISHED, here"


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_ones(name: str) -> None:
    assert registry.choose("metrics", name).settings.model_dump() == PUBLISHED[name]


@pytest.mark.parametrize("module", CONSTANTS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_constants_that_stored_numbers_rest_on(module: Any) -> None:
    assert {name: getattr(module, name) for name in CONSTANTS[module]} == CONSTANTS[module]
