"""From a suite file to a plan: the arms and trials with their keys. Needs no torch.

``document`` (YAML with line and column of each value) → ``declaration`` (the sections) → ``cells`` (the matrix) →
``reading`` (the checked suite) → ``plan`` (arms, cells, trials; ``fingerprint`` gives the code's part of a key).
Import the names below from here, and ``make_plan`` from ``harness.suite.plan``.
"""

from harness.suite.declaration import Evaluate, Expectation, Resources, Run, Search, Train
from harness.suite.reading import Suite, SuiteError, read_suite, suite_of, suite_schema

__all__ = [
    "Evaluate",
    "Expectation",
    "Resources",
    "Run",
    "Search",
    "Suite",
    "SuiteError",
    "Train",
    "read_suite",
    "suite_of",
    "suite_schema",
]
