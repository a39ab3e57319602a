"""Metrics, one family a file: from samples, reference images and judge features to named numbers."""

SHARED = ("base", "images", "neighbours")
"""Files that several plug-ins share and that hold none: the registry does not look into them."""
