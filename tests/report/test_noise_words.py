"""What `harness noise` says in sentences, for components that are given."""

from __future__ import annotations

import math

from harness.analysis.noise import SOURCES, TRAINING, Noise, Pairing, Part
from harness.metrics.base import Value
from harness.report import noise as shown

FID = Value("FID", "lower", "")


def part(value: float, low: float, high: float) -> Part:
    return Part(value, low, high, value)


def made(**shares: Part) -> Noise:
    """An arm of which these shares are known; the others are surely nothing."""
    every = {source: shares.get(source, part(0, 0, 0)) for source in SOURCES}
    return Noise(12.0, part(4, 1, 16), every, every, 25, 3)


def test_fewer_samples_would_do_if_evaluation_is_surely_small() -> None:
    said = shown._evaluation(made(evaluation=part(0.04, 0.02, 0.07)), FID, 10_000)
    assert said == (
        "evaluation is 4 % (2 to 7 %) of the variance of FID: 5000 samples in place of 10000 would do (at most 7 % "
        "more variance)."
    )
    assert "would do" not in shown._evaluation(made(evaluation=part(0.04, 0.02, 0.11)), FID, 10_000)


def test_more_samples_pay_if_evaluation_is_surely_large() -> None:
    said = shown._evaluation(made(evaluation=part(0.7, 0.55, 0.9)), FID, 1000)
    assert said.endswith("more samples pay, 2000 in place of 1000 would take away about 35 % of the variance.")
    unsure = shown._evaluation(made(evaluation=part(0.3, 0.2, 0.55)), FID, 1000)
    assert unsure.endswith(": 2000 samples in place of 1000 would take away about 15 % of the variance.")


def test_only_what_is_sure_is_said_of_a_stream() -> None:
    shares = {"weights": part(0.61, 0.3, 0.8), "order": part(0.1, 0, 0.4), "latents": part(0, 0, 0.3)}
    assert shown._training(made(**shares, interactions=part(0.25, 0.1, 0.5))) == (
        "initialisation alone is 61 % (30 to 80 %); data order and training latents alone: no effect is shown, at most "
        "40 %; 25 % (10 to 50 %) belongs to no single stream (interactions)."
    )


def test_what_pairing_by_the_seed_removes() -> None:
    by = dict.fromkeys([*TRAINING, "evaluation"], part(0, -0.1, 0.1)) | {"weights": part(0.5, 0.2, 0.7)}
    said = shown._pairing(Pairing(by, part(0.61, 0.3, 0.8)), "dcgan", "gan", FID)
    assert said == (
        "Pairing dcgan with gan by the seed removes 61 % (30 to 80 %) of the variance of their difference in FID; by "
        "initialisation alone 50 % (20 to 70 %)."
    )
    unsure = shown._pairing(Pairing(by, part(-0.05, -0.3, 0.2)), "dcgan", "gan", FID)
    assert unsure.startswith("It is not shown that pairing dcgan with gan by the seed removes anything")
    assert "−5 % (−30 to 20 %)" in unsure
    worse = shown._pairing(Pairing(by, part(-0.4, -0.6, -0.2)), "dcgan", "gan", FID)
    assert "adds to the variance: −40 % (−60 to −20 %)" in worse


def test_the_cells_of_a_row() -> None:
    assert shown._cells(None, FID) == ["–"] * 7
    mean, deviation, *shares = shown._cells(made(weights=part(0.614, 0.3, 0.8)), FID)
    assert (mean, deviation) == ("12.00", f"{math.sqrt(4):.2f}")
    assert shares[:2] == ["61 %\n30 to 80 %", "0 %\n0 to 0 %"]
