"""Suites: what is read, what is refused, where the refusal points, and that nothing else ever comes out."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import HarnessError
from harness.suite import Suite, SuiteError, read_suite, suite_schema
from harness.suite.cells import space_of
from harness.suite.declaration import Categorical, points

SUITES = Path(__file__).parents[2] / "suites"
SCHEMA = SUITES / "suite.schema.json"

GOOD = """\
suite: s
data: digits
base: {model: dcgan}
evaluate: {metrics: [fid]}
"""
SEARCHED = "search:\n  n_trials: 3\n  space: {model.latent: {type: int, low: 8, high: 9}}\n"
"""After GOOD, it ends at line 7."""


def read(folder: Path, text: str | bytes, *sets: str) -> Suite:
    path = folder / "suite.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_suite(path, sets)


def problems(folder: Path, text: str | bytes, *sets: str) -> list[str]:
    """What is wrong with it, without the name of the file."""
    with pytest.raises(SuiteError) as raised:
        read(folder, text, *sets)
    return [problem.removeprefix(f"{folder / 'suite.yaml'}:") for problem in raised.value.problems]


# (what is appended to GOOD, or the whole text where it says `suite:`; the place; words of the message)
MALFORMED = {
    # not YAML, or more than a suite may be
    "binary tag": ("question: !!binary eA==\n", "5:11", "tag '!!binary'"),
    "tab": ("train:\n\tsteps: 3\n", "6:1", "a tab cannot be used here"),
    "unclosed list": ("matrix: {tricks: [[]\n", "6:1", "not YAML"),
    "unclosed text": ('question: "what\n', "6:1", "not YAML"),
    "colon in text": ("question: which: one\n", "5:16", "mapping values are not allowed"),
    "duplicate key": ("seeds: 1\nseeds: 2\n", "6:1", "duplicate key 'seeds' (first in line 5)"),
    "duplicate nested key": ("train: {steps: 1, steps: 2}\n", "5:19", "duplicate key 'steps'"),
    "unknown alias": ("question: *x\n", "5:11", "no anchor"),
    "alias in itself": ("matrix: &a {tricks: *a}\n", "5:21", "inside its own anchor"),
    "python tag": ("question: !!python/name:os.system x\n", "5:11", "tag '!!python/name:os.system'"),
    "key that is no name": ("? [a]\n: b\n", "5:3", "a key must be a plain name"),
    "second document": ("---\nsuite: t\n", "5:1", "second document"),
    "surrogate": ('question: "\\ud800"\n', "5:11", "U+D800"),
    "control character": ("question: \x07\n", "5:11", "U+0007"),
    "merge key": (
        "train: &t {steps: 3}\nrun: {<<: *t}\n",
        "6:7",
        "run: merge keys (<<) are not read: YAML 1.2 has none. Write the keys out, or use an alias",
    ),
    "merge key in a list": ("matrix: {model: [&m {name: gan}, {<<: *m, latent: 16}]}\n", "5:35", "merge keys (<<)"),
    "merge of several": ("train: {<<: [{steps: 3}, {batch_size: 4}]}\n", "5:9", "merge keys (<<)"),
    "no blank after the colon": (
        "seeds:1\ntrain: {steps: 3}\n",
        "5:1",
        "not YAML: 'seeds:1' is no key with a value: write a colon, and a blank after it",
    ),
    "no blank after an inner colon": ("train:\n  steps:3\n  threads: 1\n", "6:3", "'steps:3' is no key with a value"),
    "no colon": ("train:\n  steps 3\n  threads: 1\n", "6:3", "'steps 3' is no key with a value"),
    "full-width colon": ("seeds\uff1a 1\ntrain: {}\n", "5:6", "U+FF1A (fullwidth colon) is no colon to YAML: type a"),
    "small colon": ("train:\n  steps\ufe55 1\n  threads: 1\n", "6:8", "U+FE55 (small colon)"),
    "no-break space after a colon": (
        "train:\u00a0 {steps: 3}\n",
        "5:7",
        "the character U+00A0 (no-break space) is no blank to YAML: type a blank",
    ),
    "no-break space in place of a blank": ("seeds:\u00a01\ntrain: {}\n", "5:7", "U+00A0 (no-break space)"),
    "no-break space as indentation": ("train:\n\u00a0\u00a0steps: 3\n", "6:1", "U+00A0 (no-break space)"),
    "no-break space before a number": ("seeds: \u00a01\n", "5:8", "U+00A0 (no-break space)"),
    "no-break space inside braces": ("train: {steps:\u00a03}\n", "5:15", "U+00A0 (no-break space)"),
    "no-break space behind a dash": ("seeds:\n-\u00a01\n- 2\n", "6:2", "U+00A0 (no-break space)"),
    "ideographic space": ("train:\u3000{steps: 3}\n", "5:7", "U+3000 (ideographic space)"),
    "zero-width space": ("train:\u200b {steps: 3}\n", "5:7", "U+200B (zero width space)"),
    "half a pair": ('question: "\\ude00\\ud83d"\n', "5:11", "U+DE00"),
    # keys
    "unknown section": ("matrx: {}\n", "5:1", "matrx: unknown key 'matrx', did you mean 'matrix'?"),
    "unknown key": ("train: {step: 3}\n", "5:9", "train.step: unknown key 'step', did you mean 'steps'?"),
    "key of another section": ("run: {steps: 3}\n", "5:7", "unknown key 'steps'"),
    "look-alike key": ("trаin: {steps: 3}\n", "5:1", "did you mean 'train'?"),  # its а is Cyrillic
    # names
    "unknown model": ("suite: s\ndata: digits\nbase: {model: dcgn}\n", "3:15", "did you mean 'dcgan'?"),
    "unknown data": ("suite: s\ndata: digit\n", "2:7", "did you mean 'digits'?"),
    "unknown trick": ("matrix: {tricks: [[], [emaa]]}\n", "5:24", "matrix.tricks[1][0]: unknown name 'emaa'"),
    "model without name": ("matrix: {model: [{latent: 3}]}\n", "5:18", "the key 'name'"),
    "model that is a number": ("matrix: {model: [3]}\n", "5:18", "expected a name"),
    "unknown architecture": ("matrix: {model.architecture: [dcgam]}\n", "5:31", "did you mean 'dcgan'?"),
    "unknown setting": ("matrix: {model.laten: [3]}\n", "5:24", "did you mean 'latent'?"),
    "unknown objective": ("matrix: {model.objective: [minmax]}\n", "5:28", "did you mean 'minimax'?"),
    "path as suite name": ("suite: ../../x\n", "1:8", "is no valid name"),
    "capital in suite name": ("suite: Quick\n", "1:8", "is no valid name"),
    "endless suite name": (f"suite: {'a' * 65}\n", "1:8", "is no valid name"),
    "name of a device": ("suite: con\n", "1:8", "reserved"),
    "number for a name": ("suite: 12\n", "1:8", "expected text, got 12"),
    # types and ranges
    "text for a number": ("train: {steps: many}\n", "5:16", "expected a whole number, got 'many'"),
    "quoted number": ('train: {steps: "5"}\n', "5:16", "expected a whole number, got '5'"),
    "truth for a number": ("train: {steps: true}\n", "5:16", "expected a whole number, got true"),
    "half a step": ("train: {steps: 1.5}\n", "5:16", "expected a whole number, got 1.5"),
    "no steps": ("train: {steps: 0}\n", "5:16", "must be at least 1, got 0"),
    "endless steps": ("train: {steps: .inf}\n", "5:16", "steps: expected a"),
    "huge number": (f"train: {{steps: {'9' * 400}}}\n", "5:16", "too large"),
    "not a number": ("matrix: {model.beta1: [.nan]}\n", "5:24", "expected a finite number, got nan"),
    "rate too large": ("matrix: {model.generator_rate: [2]}\n", "5:33", "must be at most 1, got 2"),
    "nested setting too small": (
        "matrix: {model.architecture.width: [1]}\n",
        "5:37",
        "must be at least 4, got 1",
    ),
    "unknown precision": ("train: {precision: fp16}\n", "5:20", "'auto', 'float32' or 'bfloat16'"),
    "null section": ("train:\n", "5:1", "expected a mapping, got null"),
    "list for a section": ("run: [a]\n", "5:6", "expected a mapping"),
    "text for a list": ("matrix: {tricks: ema}\n", "5:18", "expected a list, got 'ema'"),
    "trick outside a list": ("matrix: {tricks: [ema]}\n", "5:19", "expected a list of tricks, got 'ema'"),
    "negative time limit": ("run: {time_limit: -1}\n", "5:19", "must be greater than 0"),
    "no seeds": ("seeds: 0\n", "5:8", "from 1 to 1000"),
    "too many seeds": ("seeds: 1000000000\n", "5:8", "from 1 to 1000"),
    "seeds as text": ("seeds: few\n", "5:8", "a number of seeds or a list of them, got 'few'"),
    "same seed twice": ("seeds: [1, 2, 1]\n", "5:8", "a seed is listed twice"),
    "negative seed": ("seeds: [1, -1]\n", "5:12", "must be at least 0"),
    "truth for a seed": ("seeds: [1, true]\n", "5:12", "expected a whole number, got true"),
    "empty list of seeds": ("seeds: []\n", "5:8", "at least 1 entry"),
    # matrix
    "unknown axis": ("matrix: {trick: [[]]}\n", "5:10", "did you mean 'tricks'?"),
    "axis with an empty step": ("matrix: {model..latent: [1]}\n", "5:10", "an axis is a path into one of"),
    "empty axis": ("matrix: {tricks: []}\n", "5:18", "at least 1 entry"),
    "axis through a number": ("matrix: {model.latent.x: [1]}\n", "5:27", "whole number"),
    "axis into no trick": ("matrix: {tricks.ema.decay: [0.9]}\n", "5:29", "'ema' is not in the list []"),
    "too many cells": (
        "matrix:\n" + "".join(f"  model.{key}: {list(range(1, 102))}\n" for key in ("latent", "discriminator_steps")),
        "6:3",
        "the product has 10201 cells",
    ),
    "too many trials": (
        f"seeds: 1000\nmatrix: {{model.latent: {list(range(1, 102))}}}\n",
        "5:8",
        "101 cells × 1000 seeds are 101000 trials, more than 100000",
    ),
    "too many trials of a search": (
        "seeds: 2\nsearch: {n_trials: 100000, space: {model.latent: {type: int, low: 8, high: 9}}}\n",
        "6:9",
        "1 cell × 100000 configurations × 2 seeds are 200000 trials, more than 100000",
    ),
    "same value twice": ("matrix: {tricks: [[ema], [{name: ema}]]}\n", "5:26", "has the same value already"),
    "same arm twice": (
        "matrix: {tricks: [[ema], [{name: ema, decay: 0.999}]]}\n",
        "5:26",
        "written in another way",
    ),
    "trick twice": ("matrix: {tricks: [[ema, ema]]}\n", "5:19", "the trick 'ema' is listed twice"),
    # exclude, compare
    "exclude an unknown axis": ("exclude: [{where: {model: gan}, reason: x}]\n", "5:20", "no axis 'model'"),
    "exclude an unknown value": (
        "matrix: {tricks: [[], [ema]]}\nexclude: [{where: {tricks: [emma]}, reason: x}]\n",
        "6:28",
        "is no value of the axis 'tricks' ([], ['ema']): add the value to the axis, or remove it here",
    ),
    "exclude without reason": (
        "matrix: {tricks: [[], [ema]]}\nexclude:\n  - where: {tricks: []}\n",
        "7:5",
        "exclude[0].reason: the key 'reason' is missing",
    ),
    "exclude everything": (
        "matrix: {tricks: [[]]}\nexclude: [{where: {tricks: []}, reason: x}]\n",
        "6:10",
        "all cells are excluded",
    ),
    "unknown metric column": ("compare: {metric: fdi}\n", "5:19", "did you mean 'fid'?"),
    "interaction without against": (
        "matrix: {data.limit: [500, 1000]}\ncompare: {interaction: data.limit}\n",
        "6:24",
        "needs against, whose comparisons it is about",
    ),
    "interaction with an unknown axis": (
        "matrix: {data.limit: [500, 1000], tricks: [[], [ema]]}\n"
        "compare: {against: {tricks: []}, interaction: data.limits}\n",
        "6:47",
        "the matrix has no axis 'data.limits', did you mean 'data.limit'?",
    ),
    "interaction with an axis of one value": (
        "matrix: {data.limit: [500], tricks: [[], [ema]]}\ncompare: {against: {tricks: []}, interaction: data.limit}\n",
        "6:47",
        "the axis 'data.limit' has one value",
    ),
    "interaction with an axis of against": (
        "matrix: {data.limit: [500, 1000], tricks: [[], [ema]]}\n"
        "compare: {against: {tricks: []}, interaction: tricks}\n",
        "6:47",
        "the comparisons of against are between values of 'tricks'",
    ),
    "interaction between excluded cells": (
        "matrix: {data.limit: [500, 1000], tricks: [[], [ema]]}\n"
        "exclude: [{where: {data.limit: 500, tricks: [ema]}, reason: r}]\n"
        "compare: {against: {tricks: []}, interaction: data.limit}\n",
        "7:47",
        "no comparison of against is made at two values of 'data.limit'",
    ),
    "ambiguous baseline": (
        "matrix: {tricks: [[], [ema]], model: [gan, dcgan]}\ncompare: {baseline: {model: gan}}\n",
        "6:21",
        "selects 2 cells: give a value of tricks too",
    ),
    "excluded baseline": (
        "matrix: {tricks: [[], [ema]]}\nexclude: [{where: {tricks: []}, reason: x}]\n"
        "compare: {baseline: {tricks: []}}\n",
        "7:21",
        "no cell has all these values",
    ),
    "name of several": (
        "matrix: {tricks: [[], [ema]], model: [gan, dcgan]}\nnames: {plain: {model: gan}}\n",
        "6:16",
        "names.plain: selects 2 cells: give a value of tricks too",
    ),
    "name of none": (
        "matrix: {tricks: [[], [ema]]}\nnames: {averaged: {tricks: [emma]}}\n",
        "6:28",
        "is no value of the axis 'tricks'",
    ),
    "two names of one": (
        "matrix: {tricks: [[], [ema]]}\nnames:\n  plain: {tricks: []}\n  simple: {tricks: []}\n",
        "8:11",
        "this cell has the name 'plain' already",
    ),
    "name of another": (
        "matrix: {tricks: [[], [ema]]}\nnames: {dcgan: {tricks: [ema]}}\n",
        "6:16",
        "another arm has the name 'dcgan'",
    ),
    "name of two lines": (
        'matrix: {tricks: [[], [ema]]}\nnames: {"a\\nb": {tricks: [ema]}}\n',
        "6:17",
        "is no valid name of an arm: use 1 to 60 printable characters",
    ),
    "baseline without the value": (
        "suite: s\ndata: digits\nmatrix: {model: [gan, vae]}\nevaluate: {metrics: [fid, reconstruction]}\n"
        "compare: {metric: reconstruction_mse}\n",
        "5:19",
        "the model 'gan' does not offer reconstruction, which 'reconstruction' requires",
    ),
    "baseline without the first value": (
        "suite: s\ndata: digits\nmatrix: {model: [gan, vae]}\nevaluate: {metrics: [reconstruction, fid]}\n",
        "4:22",
        "the model 'gan' does not offer reconstruction",
    ),
    "how near D is, with what hides it": (
        "suite: s\ndata: ring\nbase: {model: {name: gan, architecture: mlp}, tricks: [packing]}\n"
        "evaluate: {metrics: [optimal_discriminator]}\n",
        "4:21",
        "optimal_discriminator: no model of this suite offers probability",
    ),
    "how near D is, with samples of another generator than its own": (
        "suite: s\ndata: ring\nbase: {model: {name: gan, architecture: mlp}}\nmatrix: {tricks: [[ema], []]}\n"
        "evaluate: {metrics: [optimal_discriminator]}\ncompare: {baseline: {tricks: [ema]}}\n",
        "5:22",
        "the model 'gan' does not offer probability beside the trick 'ema', which 'optimal_discriminator' requires",
    ),
    "search for what not every model has": (
        "suite: s\ndata: digits\nmatrix: {model: [vae, gan]}\nevaluate: {metrics: [reconstruction, fid]}\n"
        "search: {n_trials: 3, objective: {metric: reconstruction_mse}, "
        "space: {model.latent: {type: int, low: 8, high: 9}}}\n",
        "5:43",
        "the model 'gan' does not offer reconstruction",
    ),
    # expect
    "expectation without source": ("expect: [{metric: fid, at_most: 3}]\n", "5:10", "the key 'source' is missing"),
    "empty source": ("expect: [{metric: fid, at_most: 3, source: ''}]\n", "5:44", "must not be empty"),
    "expectation of nothing": ("expect: [{metric: fid, source: x}]\n", "5:10", "no expectation is given"),
    "sd and se": ("expect: [{metric: fid, value: 3, sd: 1, se: 1, n: 5, source: x}]\n", "5:10", "sd and se exclude"),
    "sd without n": ("expect: [{metric: fid, value: 3, sd: 1, source: x}]\n", "5:10", "need each other"),
    "rounds that end before they begin": ("seeds: {start: 5, most: 3}\n", "5:8", "must not be above most"),
    "an unknown key of rounds": ("seeds: {strat: 5}\n", "5:9", "did you mean 'start'"),
    "a budget that is no time": ("seeds: {budget: soon}\n", "5:17", "expected a time such as"),
    "two rules of collapse": ("compare: {collapse: {below: 1, above: 2}}\n", "5:21", "exactly one of below"),
    "a collapse of an unknown value": ("compare: {collapse: {metric: fdi, below: 1}}\n", "5:30", "did you mean 'fid'"),
    "a pair of one cell": (
        "matrix: {model: [gan, dcgan]}\ncompare: {pairs: [{arm: {model: gan}, baseline: {model: gan}}]}\n",
        "6:19",
        "the same cell",
    ),
    "against what no cell has": ("matrix: {model: [gan, dcgan]}\ncompare: {against: {model: vae}}\n", "6:28", "vae"),
    "value without tolerance": ("expect: [{metric: fid, value: 3, source: x}]\n", "5:10", "needs its uncertainty"),
    "tolerance without value": ("expect: [{metric: fid, tolerance: 3, source: x}]\n", "5:10", "belong to a value"),
    "value and bound": (
        "expect: [{metric: fid, value: 3, tolerance: 1, at_most: 4, source: x}]\n",
        "5:10",
        "value and at_most exclude each other",
    ),
    "bounds crossed": (
        "expect: [{metric: fid, at_least: 3, at_most: 2, source: x}]\n",
        "5:10",
        "at_least (3) must not be above at_most (2)",
    ),
    "negative tolerance": (
        "expect: [{metric: fid, value: 3, tolerance: -1, source: x}]\n",
        "5:45",
        "must be at least 0",
    ),
    "unknown column expected": (
        "expect: [{metric: fdi, at_most: 3, source: x}]\n",
        "5:19",
        "no metric of this suite gives 'fdi', did you mean 'fid'?",
    ),
    "expectation of an unknown axis": (
        "expect: [{where: {model: gan}, metric: fid, at_most: 3, source: x}]\n",
        "5:19",
        "no axis 'model'",
    ),
    "expectation of an unknown value": (
        "matrix: {tricks: [[], [ema]]}\nexpect: [{where: {tricks: [emma]}, metric: fid, at_most: 3, source: x}]\n",
        "6:27",
        "is no value of the axis 'tricks'",
    ),
    "expectation of what is left out": (
        "matrix: {tricks: [[], [ema]]}\nexclude: [{where: {tricks: [ema]}, reason: x}]\n"
        "expect: [{where: {tricks: [ema]}, metric: fid, at_most: 3, source: x}]\n",
        "7:18",
        "no cell has all these values",
    ),
    "order of one": (
        "matrix: {tricks: [[], [ema]]}\nexpect: [{order: [{tricks: []}], metric: fid, source: x}]\n",
        "6:18",
        "at least 2 entr",
    ),
    "order with a value": (
        "matrix: {tricks: [[], [ema]]}\n"
        "expect: [{order: [{tricks: []}, {tricks: [ema]}], metric: fid, at_most: 3, source: x}]\n",
        "6:10",
        "order and at_most exclude each other",
    ),
    "the same cell twice in an order": (
        "matrix: {tricks: [[], [ema]], model: [gan, dcgan]}\n"
        "expect: [{order: [{model: gan}, {tricks: []}], metric: fid, source: x}]\n",
        "6:33",
        "selects a cell that an earlier place of the order has already",
    ),
    "order of too many": (
        f"matrix: {{model.latent: {list(range(1, 12))}, model: [gan, dcgan]}}\n"
        "expect: [{order: [{model: gan}, {model: dcgan}], metric: fid, source: x}]\n",
        "6:18",
        "needs 121 comparisons, more than 100",
    ),
    "unknown key of an expectation": (
        "expect: [{metric: fid, at_mst: 3, at_least: 3, source: x}]\n",
        "5:24",
        "did you mean 'at_most'?",
    ),
    "expectation of a search": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9}}}\n"
        "expect: [{metric: fid, at_most: 3, source: x}]\n",
        "6:9",
        "expect needs search.confirm in a search: it is judged on new seeds only",
    ),
    "expectation of what the model has not": (
        "suite: s\ndata: digits\nmatrix: {model: [vae, gan]}\nevaluate: {metrics: [reconstruction]}\n"
        "expect: [{metric: reconstruction_mse, at_most: 3, source: x}]\n",
        "5:19",
        "the model 'gan' does not offer reconstruction",
    ),
    # evaluate
    "no metrics": ("suite: s\nevaluate: {metrics: []}\n", "2:21", "at least 1 entry"),
    "metrics missing": ("suite: s\nevaluate: {samples: 100}\n", "2:11", "the key 'metrics' is missing"),
    "metric twice": ("suite: s\nevaluate: {metrics: [fid, fid]}\n", "2:21", "'fid' is listed twice"),
    "unknown metric": ("suite: s\nevaluate: {metrics: [fud]}\n", "2:22", "did you mean 'fid'?"),
    "few samples": ("suite: s\nevaluate: {samples: 3, metrics: [fid]}\n", "2:21", "must be at least 10"),
    "unknown features": (
        "suite: s\nevaluate: {features: incepton, metrics: [fid]}\n",
        "2:22",
        "did you mean 'inception'?",
    ),
    # search
    "choice twice": (
        "search: {n_trials: 3, space: {train.steps: {type: categorical, choices: [8, 9, 8]}}}\n",
        "5:73",
        "8 is listed twice",
    ),
    "choice twice, as other numbers": (
        "search: {n_trials: 3, space: {model.beta1: {type: categorical, choices: [1, 0.5, 1.0]}}}\n",
        "5:73",
        "1.0 is listed twice (it equals 1)",
    ),
    "choice twice, as a truth": (
        "search: {n_trials: 3, space: {model.beta1: {type: categorical, choices: [true, 1]}}}\n",
        "5:73",
        "1 is listed twice (it equals true)",
    ),
    "confirm by a seed of the suite": (
        f"{SEARCHED}  confirm: {{seeds: [7, 5]}}\nseeds: [3, 5]\n",
        "8:20",
        "search.confirm.seeds: the seed 5 is one of the suite's seeds, which choose the configuration",
    ),
    "confirm by no seed": (
        f"{SEARCHED}  confirm: {{seeds: 0}}\n",
        "8:20",
        "search.confirm.seeds: the number of seeds must be from 1 to 1000, not 0",
    ),
    "confirm by a seed twice": (
        f"{SEARCHED}  confirm: {{seeds: [7, 7]}}\n",
        "8:20",
        "search.confirm.seeds: a seed is listed twice",
    ),
    "confirm by a negative seed": (
        f"{SEARCHED}  confirm: {{seeds: [7, -7]}}\n",
        "8:24",
        "search.confirm.seeds[1]: must be at least 0, got -7",
    ),
    "confirm by a word": (
        f"{SEARCHED}  confirm: {{seeds: many}}\n",
        "8:20",
        "search.confirm.seeds: expected a number of seeds or a list of them, got 'many'",
    ),
    "confirm above the largest seed": (
        f"{SEARCHED}  confirm: {{seeds: 9}}\nseeds: [4294967290]\n",
        "8:20",
        "search.confirm.seeds: the seeds above 4294967290 end at 4294967295: list them instead",
    ),
    "confirm without seeds": (
        f"{SEARCHED}  confirm: {{}}\n",
        "8:12",
        "search.confirm.seeds: the key 'seeds' is missing",
    ),
    "spaces of no cell": (
        f"{SEARCHED}  spaces:\n  - where: {{model: wgan}}\n    space: {{model.latent: null}}\n"
        "matrix: {model: [gan, dcgan]}\n",
        "9:20",
        "'wgan' is no value of the axis 'model' ('gan', 'dcgan')",
    ),
    "spaces with what their cells have not": (
        f"{SEARCHED}  spaces:\n  - where: {{model: gan}}\n    space:\n"
        "      tricks.weight_clipping.limit: {type: float, low: 0.1, high: 1}\nmatrix: {model: [gan, wgan]}\n",
        "11:7",
        "'weight_clipping' is not in the list []",
    ),
    "spaces that leave nothing": (
        f"{SEARCHED}  spaces:\n  - where: {{model: wgan}}\n    space: {{model.latent: null}}\n"
        "matrix: {model: [gan, wgan]}\n",
        "9:3",
        "search.spaces: leaves nothing to search in the cell {model: 'wgan'}",
    ),
    "spaces with a value that is refused": (
        f"{SEARCHED}  spaces:\n  - where: {{model: wgan}}\n    space:\n"
        "      model.latent: {type: int, low: 0, high: 9}\nmatrix: {model: [gan, wgan]}\n",
        "11:7",
        "the value 0 is refused",
    ),
    "search without space": ("search: {n_trials: 3}\n", "5:9", "search.space: the key 'space' is missing"),
    "unknown sampler": (
        "search: {sampler: grid, n_trials: 3, space: {model.beta1: {type: float, low: 0, high: 0.5}}}\n",
        "5:19",
        "'tpe', 'random' or 'qmc'",
    ),
    "unknown range": (
        "search: {n_trials: 3, space: {model.latent: {type: integer}}}\n",
        "5:45",
        "'float', 'int', 'categorical'",
    ),
    "range without type": (
        "search: {n_trials: 3, space: {model.latent: {low: 1}}}\n",
        "5:45",
        "'type' is missing",
    ),
    "bounds in the wrong order": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 9, high: 4}}}\n",
        "5:45",
        "low (9) must be below",
    ),
    "step beyond the range": (
        "search: {n_trials: 3, space: {model.beta1: {type: float, low: 0.001, high: 0.01, step: 0.5}}}\n",
        "5:44",
        "step (0.5) must be at most high − low (0.009)",
    ),
    "whole step beyond the range": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9, step: 2}}}\n",
        "5:45",
        "step (2) must be at most high − low (1)",
    ),
    "half a bound": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 1, high: 1.5}}}\n",
        "5:71",
        "expected a whole number, got 1.5",
    ),
    "logarithm of nothing": (
        "search: {n_trials: 3, space: {model.beta1: {type: float, low: 0, high: 0.5, log: true}}}\n",
        "5:44",
        "a logarithmic scale needs low above 0",
    ),
    "unknown key of a range": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 1, high: 2, setp: 1}}}\n",
        "5:74",
        "did you mean 'step'?",
    ),
    "bound out of range": (
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9999}}}\n",
        "5:31",
        "the value 9999 is refused: must be at most 4096",
    ),
    "space of nothing": (
        "search: {n_trials: 3, space: {model.foo: {type: int, low: 8, high: 9}}}\n",
        "5:31",
        "unknown key 'foo'",
    ),
    "space over an axis": (
        "matrix: {model.latent: [8]}\nsearch: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9}}}\n",
        "6:31",
        "is an axis of the matrix already",
    ),
}


@pytest.mark.parametrize(("text", "place", "words"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_suites_are_refused_where_they_are_wrong(tmp_path: Path, text: str, place: str, words: str) -> None:
    found = problems(tmp_path, text if text.startswith("suite:") else GOOD + text)
    assert any(line.startswith(f"{place}: ") and words in line for line in found), "\n".join(found)
    assert len(found) == 1 or text.startswith("suite:") or "listed twice" in words, "\n".join(found)


def test_json_escapes_characters_in_two_halves(tmp_path: Path) -> None:
    suite = {"suite": "s", "question": "Does it help? 😀𝛿", "data": "digits", "base": {"model": "gan"}}
    suite["evaluate"] = {"metrics": ["fid"]}
    for indent in (None, 1, "\t"):
        text = json.dumps(suite, indent=indent)
        assert "\\ud83d\\ude00" in text
        assert read(tmp_path, text).question == "Does it help? 😀𝛿"
    assert read(tmp_path, GOOD, 'question="\\ud83d\\ude00"').question == "😀"


@pytest.mark.parametrize(
    ("text", "low", "high", "step", "last", "size"),
    [
        ("{type: int, low: 1e0, high: 1e2}", 1, 100, 1, 100, 100),
        ("{type: int, low: 8, high: 64.0, step: 2.0e+1}", 8, 64, 20, 48, 3),
        ("{type: int, low: 3, high: 10, step: 4}", 3, 10, 4, 7, 2),
        ("{type: float, low: 0.1, high: 0.3, step: 0.2}", 0.1, 0.3, 0.2, 0.3, 2),
        ("{type: float, low: 0, high: 0.5, step: 0.2}", 0, 0.5, 0.2, 0.4, 3),
        ("{type: float, low: 0, high: 0.9}", 0, 0.9, None, 0.9, None),
    ],
)
def test_ranges(tmp_path: Path, text: str, low: float, high: float, step: float, last: float, size: int) -> None:
    path = "model.latent" if "int" in text else "model.beta1"
    search = read(tmp_path, GOOD + f"search: {{n_trials: 1e1, space: {{{path}: {text}}}}}\n").search
    assert search is not None
    one = search.space[path]
    assert not isinstance(one, Categorical)
    assert (one.low, one.high, one.step, one.last, one.size) == (low, high, step, last, size)
    assert points(search.space) == size
    assert type(one.low) is (int if "int" in text else float)


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + "seeds: 1e1\n").seeds == tuple(range(10))
    assert read(tmp_path, GOOD + "seeds: [1e3, 5.0]\n").seeds == (1000, 5)
    assert read(tmp_path, GOOD + "train: {steps: 1e3}\n").train.steps == 1000


def test_of_many_trials_the_user_is_told_before_they_are_planned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, GOOD + "seeds: 1000\nmatrix: {train.steps: [1, 2, 3]}\n")
    assert caplog.messages == ["planning 3000 trials: 3 cells × 1000 seeds"]


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{below}: &{below} [{', '.join([f'*{above}'] * 10)}]\n" for above, below in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"", "1:1", "empty"),
        (b"# nothing\n", "1:1", "empty"),
        (b"- a\n- b\n", "1:1", "expected keys such as"),
        (b"just text", "1:1", "expected keys such as"),
        ("suite: s\nquestion: wei\xdf".encode("latin-1"), "2:14", "not UTF-8"),
        (bytes(range(256)), "2:118", "not UTF-8"),
        (b"suite: s\n" + b"# " + b"x" * 50_000_000, "1:1", "larger than"),
        (b"[" * 100_000, "1:34", "nested more than 32 levels"),
        (b"{a: " * 60_000, "1:133", "nested more than 32 levels"),
        (BOMB.encode(), "4:", "more than 10000 values"),
        (b"seeds: [" + b"1, " * 80_000 + b"1]", "1:", "more than 10000 values"),
        (b"a: " + b"!" * 250_000, "1:", "tag"),
        ("\ufeff".encode() * 2 + b"suite: s", "1:1", "U+FEFF"),
        (b'a: "\\UFFFFFFFF"', "1:", "not YAML"),
        (b"%YAML x.y\n---\na: 1", "1:", "not YAML"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_rubbish_is_refused(tmp_path: Path, content: bytes, place: str, words: str) -> None:
    found = problems(tmp_path, content)
    assert any(line.startswith(place) and words in line for line in found), found


HUNDRED = list(range(1, 101))
HUGE = {
    "values on an axis": f"matrix: {{model.latent: {list(range(40_000))}}}",
    "exclusions": "matrix: {model.latent: [8, 16]}\nexclude:\n" + "- {where: {model.latent: 8}, reason: x}\n" * 5_000,
    "wrong cells": f"matrix: {{model.latent: {HUNDRED}, model.beta1: {HUNDRED}}}",
    "refused tricks": f"matrix: {{tricks: [[ema, ema]], train.steps: {list(range(1, 2001))}}}",
    "choices": f"search:\n  n_trials: 1\n  space:\n    model.latent: {{type: categorical, choices: {HUNDRED * 11}}}\n",
    "values to try": f"matrix: {{train.steps: {HUNDRED}}}\nsearch:\n  n_trials: 0\n  space:\n"
    + "".join(f"    model.x{n}: {{type: categorical, choices: {list(range(1000))}}}\n" for n in range(12)),
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_enormous_suites_are_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, GOOD + text)


def test_mutations_of_a_suite_raise_nothing_but_its_own_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    text = (SUITES / "quickstart.yaml").read_text()
    tokens = [
        "[",
        "]",
        "{",
        "}",
        ":",
        "\n",
        "  ",
        "- ",
        "null",
        ".nan",
        "-1",
        "1e999",
        "&a ",
        "*a",
        "!!str ",
        "tricks",
        "true",
    ]
    for _ in range(400):
        mutated = text
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(mutated))
            mutated = mutated[:at] + rng.choice(tokens) + mutated[at + rng.choice([0, 0, 1, 5]) :]
        with contextlib.suppress(HarnessError):
            read(tmp_path, mutated)


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = """\
suite: s
data: digit
trian: {}
train: {steps: 0}
base: {model: dcgan}
matrix: {tricks: [[], [emaa]], model.latent: [0]}
search: {n_trials: 0, space: {model.beta1: {type: float, low: 0, high: 3}}}
compare: {metric: fdi, baseline: {trick: []}}
evaluate: {metrics: [fid], sample: 3}
"""
    places = [line.partition(": ")[0] for line in problems(tmp_path, text)]
    assert places == ["2:7", "3:1", "4:16", "6:24", "6:47", "7:20", "8:35", "9:28"]


def test_many_problems_are_cut_short(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + f"seeds: [{', '.join(['x'] * 900)}]\n")
    assert len(found) == 101
    assert found[-1].endswith("and 800 more like these")


def test_one_mistake_is_one_problem(tmp_path: Path) -> None:
    text = GOOD.replace("dcgan", "dcgn") + "matrix: {tricks: [[], [ema]], model.latent: [8, 16]}\n"
    assert len(problems(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("axis", "meant"),
    [
        ("architecture: [mlp, dcgan]", "model.architecture"),
        ("generator_rate: [0.001, 0.002]", "model.generator_rate"),
        ("generatr_rate: [0.001, 0.002]", "model.generator_rate"),
        ("modle.latent: [8, 16]", "model.latent"),
        ("width: [8, 16]", "model.architecture.width"),
        ("steps: [8, 16]", "train.steps"),
        ("decay: [0.9, 0.99]", "tricks.ema.decay"),
        ("classes: [[0], [1]]", "data.classes"),
        ("modle: [gan, dcgan]", "model"),
    ],
)
def test_a_wrong_axis_is_one_problem_and_names_the_path_that_was_meant(tmp_path: Path, axis: str, meant: str) -> None:
    key, _, values = axis.partition(": ")
    first, second = json.loads(re.sub("[a-z]+", r'"\g<0>"', values))
    one, other = json.dumps({key: first}), json.dumps({key: second})
    base = "" if meant == "model" else "model: dcgan, "
    text = (
        f"suite: s\ndata: digits\nbase: {{{base}tricks: [ema]}}\nevaluate: {{metrics: [fid]}}\nmatrix: {{{axis}}}\n"
        f"compare: {{baseline: {one}, metric: fid}}\nnames: {{one: {one}}}\nexclude: [{{where: {other}, reason: x}}]\n"
        f"expect: [{{order: [{one}, {other}], metric: fid, source: x}}]\n"
    )
    told = f"5:10: matrix.{key}: an axis is a path into one of model, tricks, data, train, did you mean {meant!r}?"
    assert problems(tmp_path, text) == [told]
    # The right path beside it is no second mistake either.
    assert problems(tmp_path, text.replace(json.dumps(key), json.dumps(meant))) == [told]


def test_an_axis_like_no_path_has_no_hint(tmp_path: Path) -> None:
    [told] = problems(tmp_path, GOOD + "matrix: {zzz: [1, 2]}\ncompare: {baseline: {zzz: 1}}\n")
    assert told.endswith("an axis is a path into one of model, tricks, data, train")


def test_a_part_that_no_axis_was_meant_for_is_missing_as_before(tmp_path: Path) -> None:
    text = "suite: s\ndata: digits\nevaluate: {metrics: [fid]}\nmatrix: {steps: [1, 2]}\n"
    assert [told.partition(": ")[2] for told in problems(tmp_path, text)] == [
        "model: name a model here, or make it an axis",
        "matrix.steps: an axis is a path into one of model, tricks, data, train, did you mean 'train.steps'?",
    ]


def test_a_search_confirms_on_the_seeds_above_those_of_the_suite(tmp_path: Path) -> None:
    space = "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9}}, confirm: {seeds: SEEDS}}\n"
    assert read(tmp_path, GOOD + f"seeds: [2, 9, 4]\n{space.replace('SEEDS', '3')}").confirm_seeds == (10, 11, 12)
    assert read(tmp_path, GOOD + f"seeds: 2\n{space.replace('SEEDS', '[7]')}").confirm_seeds == (7,)
    assert read(tmp_path, GOOD).confirm_seeds == ()


def test_a_space_that_some_cells_lack_is_allowed_where_they_have_their_own(tmp_path: Path) -> None:
    text = (
        "matrix: {model: [gan, vae]}\nsearch: {n_trials: 3, space: {model.beta1: {type: float, low: 0, high: 0.5}}, "
        "spaces: [{where: {model: vae}, space: {model.beta1: null, model.rate: {type: float, low: 0.1, high: 0.2}}}]}\n"
    )
    suite = read(tmp_path, GOOD + text)
    assert suite.search is not None
    assert [sorted(space_of(suite.search, cell)) for cell in suite.combinations] == [["model.beta1"], ["model.rate"]]
    [told] = problems(tmp_path, GOOD + text.replace("model.beta1: null, ", ""))
    assert "search.space.model.beta1" in told


def test_expectations_of_a_confirmed_search_are_read(tmp_path: Path) -> None:
    text = "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 9}}, confirm: {seeds: 2}}\n"
    suite = read(tmp_path, GOOD + text + "expect: [{metric: fid, at_most: 3, source: x}]\n")
    assert len(suite.expect) == 1


def test_a_wrong_path_of_a_search_names_the_path_that_was_meant(tmp_path: Path) -> None:
    [told] = problems(tmp_path, GOOD + "search: {n_trials: 3, space: {latent: {type: int, low: 8, high: 9}}}\n")
    assert told.endswith("did you mean 'model.latent'?")


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(GOOD)
    with pytest.raises(SuiteError, match=r"quikstart.yaml: no such file, did you mean .*quickstart.yaml"):
        read_suite(tmp_path / "quikstart.yaml")
    with pytest.raises(SuiteError, match="a folder, no file"):
        read_suite(tmp_path)
    with pytest.raises(SuiteError):
        read_suite(Path("\0"))


def test_defaults(tmp_path: Path) -> None:
    suite = read(tmp_path, GOOD)
    assert (suite.name, suite.question, suite.seeds) == ("s", "", (0, 1, 2))
    assert (suite.train.steps, suite.train.batch_size, suite.train.precision) == (4000, 128, "auto")
    assert (suite.evaluate.samples, suite.evaluate.features, suite.evaluate.split) == (10_000, "auto", "test")
    assert suite.run.time_limit is None
    assert suite.metric == "fid"
    assert suite.target == ("fid", "minimize")
    assert len(suite.combinations) == 1
    assert suite.text == GOOD
    assert suite.sets == ()


def test_yaml_is_read_by_version_1_2(tmp_path: Path) -> None:
    suite = read(
        tmp_path,
        GOOD.replace("suite: s", "suite: no")
        + "question: 010\n".replace("010", '"010"')
        + "matrix: {model.generator_rate: [1e-5]}\nseeds: [010, 0x10, 0o10]\n",
    )
    assert suite.name == "no"
    assert suite.question == "010"
    assert suite.seeds == (10, 16, 8)
    assert suite.combinations[0].parts is not None
    assert suite.combinations[0].parts.model.settings.generator_rate == 1e-5


def test_anchors_and_aliases(tmp_path: Path) -> None:
    suite = read(tmp_path, GOOD + "matrix: {tricks: [[], &averaged [ema]]}\ncompare: {baseline: {tricks: *averaged}}\n")
    assert suite.compare.baseline == {"tricks": ["ema"]}


def test_the_matrix_is_the_exact_product_and_longer_paths_come_later(tmp_path: Path) -> None:
    suite = read(
        tmp_path,
        GOOD + "matrix: {model.latent: [8, 16], model: [gan, dcgan], tricks: [[], [ema]], train.steps: [1, 2]}\n",
    )
    built = {
        (p.model.name, p.model.settings.latent, len(p.tricks), p.train.steps)
        for p in (combination.parts for combination in suite.combinations)
        if p is not None
    }
    assert len(suite.combinations) == len(built) == 16


def test_an_axis_leads_into_the_default_architecture_and_into_a_trick(tmp_path: Path) -> None:
    text = GOOD.replace("{model: dcgan}", "{model: gan, tricks: [ema]}")
    suite = read(tmp_path, text + "matrix: {tricks.ema.decay: [0.5], model.architecture.width: [64]}\n")
    parts = suite.combinations[0].parts
    assert parts is not None
    assert parts.model.settings.architecture.settings.width == 64
    assert parts.tricks[0].settings.decay == 0.5


def test_an_excluded_cell_may_be_impossible(tmp_path: Path) -> None:
    text = (
        GOOD
        + "matrix:\n  model.architecture: [dcgan, fully_connected]\n  model.architecture.discriminator_norm: [true]\n"
    )
    assert "unknown key 'discriminator_norm'" in problems(tmp_path, text)[0]
    exclude = "exclude: [{where: {model.architecture: fully_connected}, reason: it has none}]\n"
    suite = read(tmp_path, text + exclude)
    assert [combination.excluded for combination in suite.combinations] == [None, "it has none"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.steps=100", lambda s: s.train.steps == 100),
        ("seeds=2", lambda s: s.seeds == (0, 1)),
        ("seeds=[5, 7]", lambda s: s.seeds == (5, 7)),
        ("run.time_limit=1e2", lambda s: s.run.time_limit == 100),
        ("matrix.tricks=[[],[ema]]", lambda s: len(s.combinations) == 4),
        (
            "matrix.model.architecture.width=[16,32]",
            lambda s: set(s.matrix) == {"model", "model.architecture.width"},
        ),
        ("matrix.model=[dcgan]", lambda s: len(s.combinations) == 1),
        ("base.model.latent=32", lambda s: s.base.model.settings.latent == 32),
        ("base.tricks.ema.decay=0.5", lambda s: s.base.tricks[0].settings.decay == 0.5),
        ("base.tricks.0=feature_matching", lambda s: s.base.tricks[0].name == "feature_matching"),
        ("search.space.model.latent.low=4", lambda s: s.search.space["model.latent"].low == 4),
        ("search.space.model.beta2={type: float, low: 0.5, high: 0.9}", lambda s: len(s.search.space) == 2),
        ("search=null", lambda s: s.search is None),
        ("compare.baseline.model=dcgan", lambda s: s.compare.baseline == {"model": "dcgan"}),
        ("evaluate.metrics=[kid, fid]", lambda s: s.metric == "kid"),
        ("expect.0.where.model=dcgan", lambda s: s.expect[0].where == {"model": "dcgan"}),
        ("expect.0.order=null", lambda s: s.expect[0].bounds == (-math.inf, 3)),
        ("question=why = not?", lambda s: s.question == "why = not?"),
    ],
)
def test_overrides(tmp_path: Path, override: str, expected: object) -> None:
    text = GOOD.replace("{model: dcgan}", "{model: dcgan, tricks: [ema]}") + (
        "matrix: {model: [gan, dcgan]}\n"
        "search: {n_trials: 3, space: {model.latent: {type: int, low: 8, high: 64, log: true}}}\n"
    )
    if override.startswith("expect"):
        text = text.partition("search:")[0] + "expect: [{where: {}, metric: fid, at_most: 3, source: x}]\n"
    suite = read(tmp_path, text, override)
    assert expected(suite)  # type: ignore[operator]
    assert suite.sets == (override,)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.steps=abc", "train.steps: expected a whole number, got 'abc'"),
        ("train.stesp=3", "train.stesp: unknown key 'stesp', did you mean 'steps'?"),
        ("matrix.tricks=[[emaa]]", "matrix.tricks[0][0]: unknown name 'emaa'"),
        ("seeds=[1", "seeds: not YAML"),
        ("seeds", "expected PATH=VALUE"),
        ("=3", "expected PATH=VALUE"),
        ("train..steps=3", "expected PATH=VALUE"),
        ("seeds=", "seeds: expected a value"),
        ("seeds.x=3", "seeds.x: 'x' cannot be set inside 3"),
        ("base.tricks.ema.decay=0.5", "'ema' is not in the list []"),
        ("question=\x00", "U+0000"),
        ("question=\udcff", "not UTF-8"),
    ],
)
def test_a_problem_in_an_override_names_the_override(tmp_path: Path, override: str, words: str) -> None:
    [found] = problems(tmp_path, GOOD.replace("{model: dcgan}", "{model: dcgan, tricks: []}") + "seeds: 3\n", override)
    assert found.startswith(f"--set {override if override.isprintable() else 'question='}")
    assert words in found


def test_the_shipped_suites_are_good() -> None:
    for path in sorted(SUITES.glob("*.yaml")):
        suite = read_suite(path)
        assert suite.name == path.stem
        assert "$schema=suite.schema.json" in suite.text.splitlines()[0]
        assert suite.question


def test_the_committed_schema_is_current() -> None:
    """Else: harness schema > suites/suite.schema.json. Names may lag: adding a plug-in touches no other file."""
    assert nameless(json.loads(SCHEMA.read_text())) == nameless(suite_schema())


def nameless(schema: Any) -> Any:
    """The schema without its enumerations."""
    if isinstance(schema, dict):
        return {key: nameless(value) for key, value in schema.items() if key != "enum"}
    return [nameless(value) for value in schema] if isinstance(schema, list) else schema


def test_the_schema_knows_names_and_descriptions() -> None:
    schema = suite_schema()
    assert "digits" in json.dumps(schema["properties"]["data"])
    assert "one_sided_label_smoothing" in json.dumps(schema["$defs"]["Base"])
    assert schema["$defs"]["Train"]["properties"]["steps"]["description"]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"suite", "evaluate"}


# --- the documentation -----------------------------------------------------------------------------------

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "suite-format.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = DOCUMENTATION) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


OVERRIDES = DOCUMENTATION.partition("\n## Overrides\n")[2].partition("\n## ")[0]


def completed(example: str) -> str:
    """An example with the sections that it leaves out."""
    given = {line.partition(":")[0] for line in example.splitlines()}
    return example + "".join(f"{line}\n" for line in GOOD.splitlines() if line.partition(":")[0] not in given)


@pytest.mark.parametrize("example", blocks("yaml"), ids=lambda text: text.splitlines()[0])
def test_documented_examples_are_good(tmp_path: Path, example: str) -> None:
    assert read(tmp_path, completed(example)).combinations


@pytest.mark.parametrize("command", [line for block in blocks("sh", OVERRIDES) for line in block.splitlines()])
def test_documented_overrides_are_good(command: str) -> None:
    _, _, file, *options = shlex.split(command)
    assert set(options[::2]) == {"--set"}
    assert read_suite(SUITES.parent / file, options[1::2]).sets


def test_every_key_is_documented_with_its_default() -> None:
    schema = suite_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, description in section["properties"].items():
            assert f"`{key}`" in DOCUMENTATION, key
            default = description.get("default")
            if isinstance(default, int) and not isinstance(default, bool):
                assert str(default) in DOCUMENTATION, key
