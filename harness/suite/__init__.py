"""Suites: what a user declares, and the plan that follows from it. No torch.

``document`` (YAML with places) → ``declaration`` (the sections) → ``cells`` (the matrix) → ``reading`` (the whole,
checked) → ``plan`` (arms and trials with their keys; ``fingerprint`` is the part of the code in them).
"""

from harness.suite.declaration import Evaluate, Expectation, Run, Search, Train
from harness.suite.reading import Suite, SuiteError, read_suite, suite_schema

__all__ = ["Evaluate", "Expectation", "Run", "Search", "Suite", "SuiteError", "Train", "read_suite", "suite_schema"]
