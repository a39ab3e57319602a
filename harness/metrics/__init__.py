"""Metrics, one family a file: functions from samples, reference images and judge features to named numbers.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class ``Metric``,
``images`` what a metric gets, ``neighbours`` distances. Import these from their modules; this package exports nothing.
"""

SHARED = ("base", "images", "neighbours")
"""Modules without a plug-in: the registry does not look into them."""
