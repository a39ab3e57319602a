"""The contracts, over everything that is registered."""

from __future__ import annotations

from harness import testing


class TestModels(testing.ModelContract):
    pass


class TestTricks(testing.TrickContract):
    pass


class TestMetrics(testing.MetricContract):
    pass


class TestData(testing.DataContract):
    pass


class TestClassifiers(testing.ClassifierContract):
    pass
