"""`harness explain`: every name of the zoo, with all of its settings."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from harness.base.errors import HarnessError
from harness.cli import main
from harness.cli.explain import explain
from harness.zoo import registry

NAMES = sorted({name for kind in registry.KINDS for name in registry.names(kind)})


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained_with_its_settings(name: str) -> None:
    text = "\n".join(explain(name))
    for kind in registry.KINDS:
        if name in registry.names(kind):
            entry = registry.find(kind, name)
            assert f"{name} ({kind}): {entry.summary}" in text
            assert entry.paper in text
            assert entry.plugin is not None
            for setting, field in entry.plugin.Settings.model_fields.items():
                assert field.description, f"{kind} {name}: {setting} has no description"
                assert f"\n{setting}: default " in text or f"\n{setting}: must be given" in text
                assert f"    {field.description}" in text


def test_a_setting_has_its_default_its_range_and_its_meaning() -> None:
    lines = explain("ema")
    at = lines.index("decay: default 0.999, a number ≥ 0 and < 1")
    assert lines[at + 1] == "    weight of the old average in each step"
    assert "    θ̄ ← decay · θ̄ + (1 − decay) · θ" in lines


def test_a_preset_names_what_it_changes_and_has_its_own_defaults() -> None:
    lines = explain("hinge")
    assert "a preset of gan, with" in lines
    assert "  objective = hinge" in lines
    assert "  the trick spectral_norm" in lines
    assert "latent: default 128, a whole number ≥ 1 and ≤ 4096" in lines


def test_a_metric_says_what_is_good_in_the_words_of_the_report() -> None:
    plugin = registry.find("metrics", "fid").plugin
    assert plugin is not None
    assert f"column fid (lower is better): {plugin.values['fid'].summary}" in explain("fid")


def test_every_built_in_metric_says_in_sentences_what_it_measures_and_what_is_good() -> None:
    for entry in registry.entries("metrics"):
        for column, value in entry.plugin.values.items():
            assert value.summary[0].isupper(), column
            assert value.summary.endswith("."), column
            assert re.search(r"\bgood\b|\d|best possible", value.summary.lower()), column


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(HarnessError, match="there is no plug-in 'emma', did you mean 'ema'"):
        explain("emma")
    done = CliRunner().invoke(main, ["explain", "emma"])
    assert done.exit_code == 2
    assert "one of your own comes with --plugin FILE.py" in done.output
    assert "Traceback" not in done.output
