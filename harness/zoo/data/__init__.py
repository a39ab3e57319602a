"""Data sets, one file each.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class ``DataSet``,
``pixels`` converts images, ``order`` shuffles, ``downloads`` and ``published`` find, verify and download files.
Import from the modules; this package exports nothing.
"""

SHARED = ("base", "digests", "downloads", "order", "pixels", "points", "published", "strokes")
"""Modules without a plug-in: the registry does not look into them."""
