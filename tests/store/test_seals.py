"""What of a stored run was changed is named; what the harness did not write does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.store import seals

BEGUN = {
    "role": "trial",
    "key": "0123",
    "arm": "gan",
    "model": "gan",
    "tricks": "",
    "data": "digits",
    "seed": "1",
    "state": "done",
    "reason": "",
    "environment": "device threads",
    "device": "cpu",
    "threads": "1",
}
POINTS = [("loss", 1, 2.0), ("loss", 2, 1.0)]
OF_OLD = "d4033bb78285e26978f5757460be22b6"
"""The one digest that an older version gave the run of ``old``."""

Kind = dict[str, Any]


def run() -> tuple[Kind, Kind, Kind]:
    """Tags, metrics (the last value of a curve among them) and parameters of a run that has ended."""
    metrics, parameters = {"fid": 12.5, "seconds_train": -0.0}, {"train.steps": "20", "seed": "1"}
    begun = BEGUN | {seals.FILES: "{}", "settings": "s", "code": "c", "code_parts": "{}"}
    return begun | seals.of(begun, metrics, POINTS, parameters), metrics | {"train/loss": 1.0}, parameters


def old() -> tuple[Kind, Kind, Kind]:
    tags = BEGUN | {seals.CURVES_SEAL: "c", seals.FILES: "{}", seals.SEAL: OF_OLD}
    return tags, {"fid": 12.5, "train/loss": 1.0, "seconds_train": 1.0}, {}


def drop(kind: int, name: str) -> Callable[[tuple[Kind, Kind, Kind]], object]:
    return lambda kinds: kinds[kind].pop(name)


def put(kind: int, name: str, value: object) -> Callable[[tuple[Kind, Kind, Kind]], object]:
    return lambda kinds: kinds[kind].update({name: value})


def test_as_they_were_written_nothing_was_changed() -> None:
    assert seals.changes(*run()) == []
    assert seals.changes(*old()) == []
    assert seals.changes(BEGUN, {}, {}) == []  # of before there were seals


@pytest.mark.parametrize("name", [*BEGUN, "settings", "code", "code_parts", "files", "seal_curves", "seal_parameters"])
def test_every_tag_that_is_read_is_sealed(name: str) -> None:
    kinds = run()
    kinds[0][name] += "x"
    assert seals.changes(*kinds)[0] == f"tag '{name}' was edited or damaged"
    if kinds[0][name] != "x":  # MLflow gives an empty text back as none
        kinds[0].pop(name)
        assert seals.changes(*kinds)[0] == f"tag '{name}' was removed"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (put(1, "fid", 12.500000001), "metric 'fid' was edited or damaged"),
        (drop(1, "fid"), "metric 'fid' was removed"),
        (put(1, "train/loss", 0.5), "metric 'train/loss' was edited or damaged"),
        (put(2, "train.steps", "21"), "parameter 'train.steps' was edited or damaged"),
        (drop(2, "seed"), "parameter 'seed' was removed"),
        (put(0, "seal", "{"), "tag 'seal' was edited or damaged"),
        (put(0, "seal", "[1]"), "tag 'seal' was edited or damaged"),
        (drop(0, "seal"), "tag 'seal' was removed"),
        (put(0, "seal", "0" * 32), "something was edited or damaged"),
    ],
)
def test_what_was_changed_is_named(edit: Callable[[Any], object], told: str) -> None:
    kinds = run()
    edit(kinds)
    assert seals.changes(*kinds) == [told]


@pytest.mark.parametrize(
    "edit", [put(0, "note", "mine"), put(1, "mine", 1.0), put(1, "train/mine", 1.0), put(2, "x", "")]
)
def test_what_others_add_is_neither_sealed_nor_read(edit: Callable[[Any], object]) -> None:
    kinds = run()
    edit(kinds)
    assert seals.changes(*kinds) == []
    assert seals.sealed_metrics(kinds[0]) == {"fid", "seconds_train", "train/loss"}


@pytest.mark.parametrize("edit", [put(0, "seed", "2"), drop(0, "key"), put(1, "fid", 1.0), put(0, "role", "suite")])
def test_a_run_with_one_digest_says_that_something_was_changed(edit: Callable[[Any], object]) -> None:
    kinds = old()
    edit(kinds)
    assert seals.changes(*kinds) == ["something was edited or damaged"]


def test_a_run_without_any_must_have_what_is_read() -> None:
    assert seals.changes({k: v for k, v in BEGUN.items() if k != "model"}, {}, {}) == ["tag 'model' was removed"]
    assert seals.changes(BEGUN | {"seed": "one"}, {}, {}) == ["tag 'seed' was edited or damaged"]


def test_the_trial_of_a_run_is_known_whatever_became_of_its_key() -> None:
    tags, _, _ = run()
    wanted = ["9999", "0123"]
    assert seals.key(tags, wanted) == "0123"
    assert seals.key(tags | {"key": "9999"}, wanted) == "0123"
    assert seals.key({name: value for name, value in tags.items() if name != "key"}, wanted) == "0123"
    assert seals.key(tags, ["9999"]) is None
    assert seals.key({"role": "trial"}, wanted) is None


def test_more_fields_than_a_tag_takes_have_one_digest() -> None:
    metrics = {f"a metric with quite a long name, the {number}th": 0.5 for number in range(300)}
    begun = BEGUN | {seals.FILES: "{}"}
    tags = begun | seals.of(begun, metrics, POINTS, {})
    assert len(tags[seals.SEAL]) == 32
    assert seals.changes(tags, metrics, {}) == []
    assert seals.changes(tags | {"seed": "2"}, metrics, {}) == ["something was edited or damaged"]
