"""Models, one file each: every way of training a generator. Presets are the published variants.

Every module is a plug-in, found by the registry, except those of ``SHARED``. ``base`` has the base class ``Model``,
``encoding`` the base classes of autoencoders, ``seeds`` and ``paths`` helpers for weights and pictures.
Import from the modules; this package exports nothing.
"""

SHARED = (
    "base",
    "conditional",
    "cyclegan_modules",
    "encoding",
    "feedback",
    "paths",
    "seeds",
    "semi_supervised_networks",
)
"""Modules without a plug-in: the registry does not look into them."""
