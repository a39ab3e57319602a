"""Architectures, one file each: a generator and a discriminator for certain data shapes.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class
``Architecture``, ``modules`` shared torch modules, ``scores`` the output of a discriminator.
Import from the modules; this package exports nothing.
"""

SHARED = ("base", "checks", "modules", "scores")
"""Modules without a plug-in: the registry does not look into them."""
